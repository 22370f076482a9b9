// Written by `bun run db:generate`.
import type { MigrationSet } from '../../src/lib/migrate.ts'
import sql0 from './0000_start.sql' with { type: 'text' }

export const migrations: MigrationSet = {
  name: 'service-a',
  migrations: [{ tag: '0000_start', sql: sql0 }],
}
