/**
 * Writes what drizzle-kit finds changed in each `schema.ts` to `db/`, and the index by which the SQL is
 * embedded in the binary: `bun run db:generate [name]`.
 */

const sets = ['userdb', 'login', 'apikey', 'service-a']
const [name] = process.argv.slice(2)

for (const set of sets) {
  const generated = Bun.spawnSync(
    ['bun', 'drizzle-kit', 'generate', ...(name === undefined ? [] : ['--name', name])],
    { env: { ...process.env, MIGRATION_SET: set }, stdout: 'inherit', stderr: 'inherit' },
  )
  if (generated.exitCode !== 0) process.exit(generated.exitCode)

  const journal: { entries: { tag: string }[] } = await Bun.file(`db/${set}/meta/_journal.json`).json()
  const lines = [
    '// Written by `bun run db:generate`.',
    "import type { MigrationSet } from '../../src/lib/migrate.ts'",
    ...journal.entries.map(
      ({ tag }, index) => `import sql${index} from './${tag}.sql' with { type: 'text' }`,
    ),
    '',
    'export const migrations: MigrationSet = {',
    `  name: '${set}',`,
    '  migrations: [',
    ...journal.entries.map(({ tag }, index) => `    { tag: '${tag}', sql: sql${index} },`),
    '  ],',
    '}',
    '',
  ]
  await Bun.write(`db/${set}/index.ts`, lines.join('\n'))
}

Bun.spawnSync(['bun', 'biome', 'format', '--write', 'db'], { stdout: 'ignore', stderr: 'inherit' })
