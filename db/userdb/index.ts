// Written by `bun run db:generate`.
import type { MigrationSet } from '../../src/lib/migrate.ts'
import sql0 from './0000_users.sql' with { type: 'text' }

export const migrations: MigrationSet = {
  name: 'userdb',
  migrations: [{ tag: '0000_users', sql: sql0 }],
}
