CREATE TABLE `api_key_changes` (
	`revision` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`key_id` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `api_key_usage` (
	`key_id` text NOT NULL,
	`day` integer NOT NULL,
	`outcome` text NOT NULL,
	`uses` integer NOT NULL,
	PRIMARY KEY(`key_id`, `day`, `outcome`)
);
--> statement-breakpoint
CREATE INDEX `api_key_usage_by_day` ON `api_key_usage` (`day`);--> statement-breakpoint
ALTER TABLE `api_keys` ADD `last_used_address` text;