/**
 * Better Auth with its api-key plugin on bun:sqlite, behind a bare Elysia route that asks for a permission:
 * `better-auth.ts defaults|normal|memory <database>`. Prints the key to ask with.
 *
 * `memory` is the fastest that it can be set to: keys in a Map, no rate limit, nothing hashed twice, no database asked.
 */
import { Database } from 'bun:sqlite'
import { apiKey } from '@better-auth/api-key'
import { betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import { Elysia } from 'elysia'
import { answer, path } from '../servers/answer.ts'

const [mode = 'defaults', file = ':memory:'] = process.argv.slice(2)
const database = new Database(file)
if (mode === 'normal') database.run('PRAGMA journal_mode = WAL')
if (mode === 'normal') database.run('PRAGMA synchronous = NORMAL')

const kept = new Map<string, string>()
const inMemory = {
  storage: 'secondary-storage' as const,
  customStorage: {
    get: async (name: string) => kept.get(name) ?? null,
    set: async (name: string, value: string) => {
      kept.set(name, value)
    },
    delete: async (name: string) => {
      kept.delete(name)
    },
  },
  rateLimit: { enabled: false },
}

const auth = betterAuth({
  baseURL: 'http://127.0.0.1',
  secret: 'the secret of a benchmark, which guards nothing',
  database,
  telemetry: { enabled: false },
  emailAndPassword: { enabled: true },
  // Its rate limit of ten requests a day would refuse the load; counting stays on, as by default.
  plugins: [apiKey(mode === 'memory' ? inMemory : { rateLimit: { maxRequests: 1_000_000_000 } })],
})
const { runMigrations } = await getMigrations(auth.options)
await runMigrations()
const { user } = await auth.api.signUpEmail({
  body: { email: 'ann@example.com', password: 'a long password', name: 'Ann' },
})
const { key } = await auth.api.createApiKey({
  body: { userId: user.id, name: 'bench', permissions: { items: ['read'] } },
})

const app = new Elysia()
  .get(path, async ({ request, status }) => {
    const given = request.headers.get('x-api-key') ?? ''
    const { valid } = await auth.api.verifyApiKey({ body: { key: given, permissions: { items: ['read'] } } })
    return valid ? answer() : status(403)
  })
  .listen({ hostname: '127.0.0.1', port: 0, reusePort: false })
process.stdout.write(`${JSON.stringify({ msg: 'listening', port: app.server?.port, key })}\n`)
