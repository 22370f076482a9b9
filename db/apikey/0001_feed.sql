CREATE TABLE `ended_credentials` (
	`id` text PRIMARY KEY NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `ended_credentials_by_expiry` ON `ended_credentials` (`expires_at`);--> statement-breakpoint
CREATE TABLE `feed_position` (
	`id` integer PRIMARY KEY NOT NULL,
	`follower` text NOT NULL,
	`generation` text,
	`cursor` text,
	`epoch` integer NOT NULL,
	`heard_at` integer
);
--> statement-breakpoint
CREATE TABLE `subjects` (
	`id` text PRIMARY KEY NOT NULL,
	`status` text NOT NULL,
	`roles` text NOT NULL,
	`scopes` text NOT NULL,
	`sequence` integer NOT NULL,
	`epoch` integer NOT NULL,
	`changed_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `subjects_by_epoch` ON `subjects` (`epoch`);--> statement-breakpoint
ALTER TABLE `api_keys` ADD `last_used_at` integer;