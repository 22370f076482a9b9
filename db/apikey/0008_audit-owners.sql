DROP INDEX `api_key_audit_by_subject`;--> statement-breakpoint
ALTER TABLE `api_key_audit` ADD `owner_id` text;--> statement-breakpoint
CREATE INDEX `api_key_audit_by_owner` ON `api_key_audit` (`owner_id`,`at`);--> statement-breakpoint
CREATE INDEX `api_key_audit_by_time` ON `api_key_audit` (`at`);--> statement-breakpoint
CREATE INDEX `api_key_audit_by_subject` ON `api_key_audit` (`subject_id`,`at`);--> statement-breakpoint
CREATE INDEX `api_keys_by_revocation` ON `api_keys` (`revoked_at`) WHERE revoked_at IS NOT NULL;
--> statement-breakpoint
UPDATE `api_key_audit` SET `owner_id` = (SELECT `owner_id` FROM `api_keys` WHERE `id` = `api_key_audit`.`subject_id`)
WHERE `subject_id` NOT IN (SELECT `subject_id` FROM `api_key_audit` WHERE `action` = 'api_key.transferred');
