// Written by `bun run db:generate`.
import type { MigrationSet } from '../../src/lib/migrate.ts'
import sql0 from './0000_keys.sql' with { type: 'text' }
import sql1 from './0001_feed.sql' with { type: 'text' }
import sql2 from './0002_tokens-since.sql' with { type: 'text' }
import sql3 from './0003_usage-and-changes.sql' with { type: 'text' }
import sql4 from './0004_changed-keys.sql' with { type: 'text' }
import sql5 from './0005_replaced-keys.sql' with { type: 'text' }
import sql6 from './0006_key-features.sql' with { type: 'text' }
import sql7 from './0007_lineage.sql' with { type: 'text' }
import sql8 from './0008_audit-owners.sql' with { type: 'text' }

export const migrations: MigrationSet = {
  name: 'apikey',
  migrations: [
    { tag: '0000_keys', sql: sql0 },
    { tag: '0001_feed', sql: sql1 },
    { tag: '0002_tokens-since', sql: sql2 },
    { tag: '0003_usage-and-changes', sql: sql3 },
    { tag: '0004_changed-keys', sql: sql4 },
    { tag: '0005_replaced-keys', sql: sql5 },
    { tag: '0006_key-features', sql: sql6 },
    { tag: '0007_lineage', sql: sql7 },
    { tag: '0008_audit-owners', sql: sql8 },
  ],
}
