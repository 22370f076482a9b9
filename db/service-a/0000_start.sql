CREATE TABLE `documents` (
	`owner_id` text NOT NULL,
	`name` text NOT NULL,
	`content` text NOT NULL,
	`etag` text NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	PRIMARY KEY(`owner_id`, `name`)
);
