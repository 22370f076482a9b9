DROP INDEX `changes_by_time`;--> statement-breakpoint
ALTER TABLE `clients` ADD `tokens_since` integer;--> statement-breakpoint
ALTER TABLE `sessions` ADD `revoked_tokens` integer DEFAULT 0 NOT NULL;