CREATE TABLE `api_key_credits` (
	`lineage_id` text PRIMARY KEY NOT NULL,
	`remaining` integer NOT NULL,
	`granted` integer NOT NULL,
	`refill_amount` integer,
	`refill_interval` text,
	`refill_day` integer,
	`refilled_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `api_key_windows` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`lineage_id` text NOT NULL,
	`name` text NOT NULL,
	`admitted` blob NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `api_keys` ADD `rotated_at` integer;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `lineage_id` text;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `metadata` text;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `allowed_networks` text;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `limits` text;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `is_metered` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `expiry_told_at` integer;--> statement-breakpoint
CREATE INDEX `api_keys_by_lineage` ON `api_keys` (`lineage_id`) WHERE lineage_id IS NOT NULL;--> statement-breakpoint
CREATE INDEX `api_keys_by_expiry` ON `api_keys` (`expires_at`) WHERE expires_at IS NOT NULL AND revoked_at IS NULL;