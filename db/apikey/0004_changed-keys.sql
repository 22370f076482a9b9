CREATE TRIGGER `api_key_changed` AFTER UPDATE OF `prefix`, `secret_hash`, `owner_id`, `permissions`, `enabled`, `expires_at`, `revoked_at` ON `api_keys`
BEGIN
	INSERT INTO `api_key_changes` (`key_id`) VALUES (new.`id`);
	DELETE FROM `api_key_changes` WHERE `revision` <= (SELECT max(`revision`) FROM `api_key_changes`) - 10000;
END;
--> statement-breakpoint
CREATE TRIGGER `api_key_removed` AFTER DELETE ON `api_keys`
BEGIN
	INSERT INTO `api_key_changes` (`key_id`) VALUES (old.`id`);
	DELETE FROM `api_key_changes` WHERE `revision` <= (SELECT max(`revision`) FROM `api_key_changes`) - 10000;
END;
