import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const documents = sqliteTable(
  'documents',
  {
    ownerId: text('owner_id').notNull(),
    name: text().notNull(),
    /** JSON text, as it is answered. */
    content: text().notNull(),
    /** Strong entity tag, without quotes (RFC 9110 section 8.8.3). */
    etag: text().notNull(),
    createdAt: integer('created_at').notNull(),
    updatedAt: integer('updated_at').notNull(),
  },
  table => [primaryKey({ columns: [table.ownerId, table.name] })],
)
