DROP TRIGGER `api_key_changed`;
--> statement-breakpoint
CREATE TRIGGER `api_key_changed` AFTER UPDATE OF `id`, `prefix`, `secret_hash`, `owner_id`, `permissions`, `enabled`, `expires_at`, `revoked_at` ON `api_keys`
BEGIN
	INSERT INTO `api_key_changes` (`key_id`) VALUES (old.`id`);
	INSERT INTO `api_key_changes` (`key_id`) SELECT new.`id` WHERE new.`id` <> old.`id`;
	DELETE FROM `api_key_changes` WHERE `revision` <= (SELECT max(`revision`) FROM `api_key_changes`) - 10000;
END;
--> statement-breakpoint
CREATE TRIGGER `api_key_replaced` BEFORE INSERT ON `api_keys` WHEN EXISTS (SELECT 1 FROM `api_keys` WHERE `id` = new.`id`)
BEGIN
	INSERT INTO `api_key_changes` (`key_id`) VALUES (new.`id`);
	DELETE FROM `api_key_changes` WHERE `revision` <= (SELECT max(`revision`) FROM `api_key_changes`) - 10000;
END;
