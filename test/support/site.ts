import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Answer, call } from './http.ts'
import { textOf } from './json.ts'
import { freePort } from './ports.ts'
import { type Role, type Settings, startRole, waitUntilReady } from './role.ts'
import { createStage, type Stage } from './stage.ts'

export type Credentials = { readonly email: string; readonly password: string }
export type Tokens = { readonly accessToken: string; readonly refreshToken: string }
export type Person = Credentials & Tokens & { readonly id: string }
export type Key = { readonly id: string; readonly key: string }

/** Both services, each in a folder of its own, and the administrator. */
export type Site = {
  readonly stage: Stage
  readonly login: Role
  readonly service: Role
  readonly admin: Credentials
}

/** How access tokens are signed: by a pair of keys that `login` keeps, or by a secret that both are given. */
export const tokenModes = ['ES256', 'HS256'] as const
export type TokenMode = (typeof tokenModes)[number]

export const createPassword = (): string => randomBytes(18).toString('base64url')

export type SiteOptions = {
  readonly mode?: TokenMode
  /** The secret of HS256; a random one unless given. */
  readonly secret?: string
  readonly login?: Settings
  readonly service?: Settings
}

/** Starts both services side by side and waits until the feed has told the one of the other. In HS256 mode one gets the secret itself, the other a file that holds it. */
export const startSite = async ({
  mode = 'ES256',
  secret = randomBytes(32).toString('base64url'),
  login: loginSettings = {},
  service: serviceSettings = {},
}: SiteOptions = {}): Promise<Site> => {
  const stage = createStage()
  const admin = { email: 'root@example.com', password: createPassword() }
  // By which the service follows the feed.
  const client = { id: 'cli_service-a', secret: randomBytes(32).toString('hex') }
  stage.keepSecret(admin.password, secret, client.secret)
  const secretFile = join(stage.folder, 'jwt-secret')
  writeFileSync(secretFile, `${secret}\n`, { mode: 0o600 })
  const isShared = mode === 'HS256'
  const port = await freePort()
  try {
    const [login, service] = await Promise.all([
      startRole(stage, {
        role: 'login',
        port,
        settings: {
          ADMIN_EMAIL: admin.email,
          ADMIN_PASSWORD: admin.password,
          CLIENT_ID: client.id,
          CLIENT_SECRET: client.secret,
          ...(isShared ? { JWT_SECRET: secret } : {}),
          ...loginSettings,
        },
      }),
      startRole(stage, {
        role: 'service-a',
        settings: {
          LOGIN_URL: `http://127.0.0.1:${port}`,
          CLIENT_ID: client.id,
          CLIENT_SECRET: client.secret,
          ...(isShared ? { JWT_SECRET_FILE: secretFile } : {}),
          ...serviceSettings,
        },
      }),
    ])
    await waitUntilReady(service.url)
    return { stage, login, service, admin }
  } catch (error) {
    await stage.end()
    throw error
  }
}

/** The tokens in an answer of `login`. @throws Error when there are none. */
export const tokensOf = ({ stage }: Site, { body }: Pick<Answer, 'body'>): Tokens => {
  const tokens = { accessToken: textOf(body, 'access_token'), refreshToken: textOf(body, 'refresh_token') }
  const [, payload = '', signature = ''] = tokens.accessToken.split('.')
  stage.keepSecret(payload, signature, tokens.refreshToken)
  return tokens
}

/** Signs in with email address and password. @throws Error when that is refused. */
export const signIn = async (site: Site, { email, password }: Credentials): Promise<Tokens> =>
  tokensOf(site, await call(`${site.login.url}/auth/login`, { json: { email, password } }))

/** Trades a refresh token, good or not. */
export const refresh = ({ login }: Site, refreshToken: string): Promise<Answer> =>
  call(`${login.url}/auth/refresh`, { json: { refresh_token: refreshToken } })

/** Has an administrator make a user, who then signs in. */
export const addPerson = async (
  site: Site,
  adminToken: string,
  { name, roles }: { name: string; roles?: readonly string[] },
): Promise<Person> => {
  const credentials = { email: `${name}@example.com`, password: createPassword() }
  site.stage.keepSecret(credentials.password)
  const made = await call(`${site.login.url}/users`, {
    token: adminToken,
    json: { ...credentials, ...(roles === undefined ? {} : { roles }) },
  })
  return { ...credentials, id: textOf(made.body, 'id'), ...(await signIn(site, credentials)) }
}

/** The key in an answer of `service-a`. @throws Error when there is none. */
export const keyOf = ({ stage }: Site, { body }: Pick<Answer, 'body'>): Key => {
  const made = { id: textOf(body, 'id'), key: textOf(body, 'key') }
  stage.keepSecret(made.key, made.key.slice(-49))
  return made
}

/** Makes a key that may read and write documents, unless told otherwise. */
export const makeKey = async (
  site: Site,
  token: string,
  body: Readonly<Record<string, unknown>> = {},
): Promise<Key> =>
  keyOf(
    site,
    await call(`${site.service.url}/api-keys`, {
      token,
      json: { name: 'test', permissions: ['documents:read', 'documents:write'], ...body },
    }),
  )
