import { sql } from 'drizzle-orm'
import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const users = sqliteTable(
  'users',
  {
    id: text().primaryKey(),
    /** Normalised, so that the unique index sees two spellings of one address as one. */
    email: text().notNull().unique(),
    displayName: text('display_name'),
    /** Null for a user who can't sign in with a password. */
    passwordHash: text('password_hash'),
    status: text({ enum: ['active', 'disabled'] }).notNull(),
    createdAt: integer('created_at').notNull(),
    updatedAt: integer('updated_at').notNull(),
  },
  table => [index('users_created').on(table.createdAt, table.id)],
)

export const userRoles = sqliteTable(
  'user_roles',
  {
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    role: text().notNull(),
  },
  table => [primaryKey({ columns: [table.userId, table.role] }), index('user_roles_role').on(table.role)],
)

const parseRoles = (json: string): string[] => JSON.parse(json)

/** The roles of a row of `users`, in alphabetical order, as a column of a query. */
export const rolesOfUser =
  sql`(SELECT json_group_array(role ORDER BY role) FROM user_roles WHERE user_id = users.id)`.mapWith(
    parseRoles,
  )
