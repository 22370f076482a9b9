import { Elysia, status, t } from 'elysia'
import { apikey, apikeyRoutes, problems } from 'latchkey/apikey'

const {
  LOGIN_URL = 'http://127.0.0.1:3000',
  CLIENT_ID = '',
  CLIENT_SECRET = '',
  JWT_SECRET,
  DATABASE_PATH,
  PORT = '3002',
} = process.env

/** The business: amounts by owner. A service of yours would keep them in a database. */
const invoices = new Map<string, number[]>()

export const auth = apikey({
  // As this client it hears within a second who is disabled on login, or signed out.
  login: { url: LOGIN_URL, clientId: CLIENT_ID, clientSecret: CLIENT_SECRET },
  // A shared secret where there is one, else the public keys of login.
  ...(JWT_SECRET === undefined ? {} : { jwt: { secret: JWT_SECRET } }),
  audience: 'invoices',
  database: DATABASE_PATH ?? './data/invoices.sqlite',
  roles: { user: ['invoices:read', 'invoices:write'], admin: ['invoices:*', 'api-keys:*'] },
})

export const app = new Elysia()
  .use(problems())
  .get('/livez', () => 'ok') // before the guard: public
  .use(auth) // from here on nobody enters unless let in
  .use(apikeyRoutes(auth))
  .get('/invoices', ({ principal: { ownerId } }) => ({ items: invoices.get(ownerId) ?? [] }), {
    permission: 'invoices:read',
  })
  .post(
    '/invoices',
    ({ principal: { ownerId }, body: { amount } }) => {
      invoices.set(ownerId, [...(invoices.get(ownerId) ?? []), amount])
      return status(201, { amount })
    },
    { permission: 'invoices:write', body: t.Object({ amount: t.Integer() }) },
  )

if (import.meta.main) app.listen({ port: Number(PORT), hostname: '127.0.0.1', reusePort: false })
