ALTER TABLE `subjects` ADD `tokens_since` integer;--> statement-breakpoint
CREATE INDEX `api_key_audit_by_subject` ON `api_key_audit` (`subject_id`);