/** `apikey()` in an otherwise bare Elysia app, as the peers stand: no headers, no access log. Settings as `latchkey.ts`. */
import { Elysia } from 'elysia'
import { apikey } from '../../src/apikey/index.ts'
import { audience, readSettings } from '../settings.ts'
import { answer, path } from './answer.ts'

const { database, issuer, secret } = readSettings(process.argv[2] ?? '')
const auth = apikey({
  issuer,
  jwt: { secret },
  audience,
  database,
  roles: { user: ['items:read'] },
})
const app = new Elysia()
  .use(auth)
  .get(path, answer, { permission: 'items:read' })
  .listen({ hostname: '127.0.0.1', port: 0, reusePort: false })
process.stdout.write(`${JSON.stringify({ msg: 'listening', port: app.server?.port })}\n`)
