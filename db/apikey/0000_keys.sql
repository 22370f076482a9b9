CREATE TABLE `api_keys` (
	`id` text PRIMARY KEY NOT NULL,
	`prefix` text NOT NULL,
	`start` text NOT NULL,
	`last4` text NOT NULL,
	`secret_hash` text NOT NULL,
	`name` text NOT NULL,
	`owner_id` text NOT NULL,
	`created_by` text NOT NULL,
	`permissions` text NOT NULL,
	`enabled` integer NOT NULL,
	`expires_at` integer,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`revoked_at` integer,
	`rotated_from` text,
	`rotated_to` text
);
--> statement-breakpoint
CREATE INDEX `api_keys_by_owner` ON `api_keys` (`owner_id`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `api_keys_live` ON `api_keys` (`owner_id`) WHERE revoked_at IS NULL AND rotated_to IS NULL;--> statement-breakpoint
CREATE INDEX `api_keys_by_time` ON `api_keys` (`created_at`,`id`);--> statement-breakpoint
CREATE TABLE `api_key_audit` (
	`sequence` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at` integer NOT NULL,
	`actor_id` text,
	`action` text NOT NULL,
	`subject_id` text,
	`detail` text NOT NULL,
	`address` text,
	`request_id` text
);
