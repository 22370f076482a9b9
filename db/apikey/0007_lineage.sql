WITH RECURSIVE `line` (`id`, `next`, `first`) AS (
	SELECT `id`, `rotated_to`, `id` FROM `api_keys` WHERE `rotated_from` IS NULL AND `rotated_to` IS NOT NULL
	UNION
	SELECT `api_keys`.`id`, `api_keys`.`rotated_to`, `line`.`first` FROM `line` JOIN `api_keys` ON `api_keys`.`id` = `line`.`next`
)
UPDATE `api_keys` SET `lineage_id` = `line`.`first` FROM `line` WHERE `line`.`id` = `api_keys`.`id` AND `line`.`id` <> `line`.`first`;
--> statement-breakpoint
UPDATE `api_keys` SET `rotated_at` = (SELECT `created_at` FROM `api_keys` AS `next` WHERE `next`.`id` = `api_keys`.`rotated_to`) WHERE `rotated_to` IS NOT NULL;
--> statement-breakpoint
DROP TRIGGER `api_key_changed`;
--> statement-breakpoint
CREATE TRIGGER `api_key_changed` AFTER UPDATE OF `id`, `prefix`, `secret_hash`, `owner_id`, `permissions`, `enabled`, `expires_at`, `revoked_at`, `rotated_to`, `rotated_at`, `lineage_id`, `allowed_networks`, `limits`, `is_metered` ON `api_keys`
BEGIN
	INSERT INTO `api_key_changes` (`key_id`) VALUES (old.`id`);
	INSERT INTO `api_key_changes` (`key_id`) SELECT new.`id` WHERE new.`id` <> old.`id`;
	DELETE FROM `api_key_changes` WHERE `revision` <= (SELECT max(`revision`) FROM `api_key_changes`) - 10000;
END;
