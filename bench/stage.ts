import { join } from 'node:path'
import { defaultFailureLimits } from '../src/apikey/failures.ts'
import { call } from '../test/support/http.ts'
import { textOf } from '../test/support/json.ts'
import { freePort } from '../test/support/ports.ts'
import { type CaseName, growthSizes, hotKeys } from './cases.ts'
import { settleDisk } from './disk.ts'
import { createDocumentKeys, document } from './document-keys.ts'
import { peersFolder } from './peers.ts'
import { copySeed, garbageKeys, type Seed, seedKeys, unknownKeys } from './seed.ts'
import { type ServerProcess, startServer } from './server-process.ts'
import { costlyPath, path as itemPath } from './servers/answer.ts'
import { audience, type ServerSettings } from './settings.ts'
import type { Credentials, Subject } from './subject.ts'
import { createTokens } from './tokens.ts'

export type StageOptions = {
  readonly folder: string
  /** Keys in the large database. */
  readonly stored: number
  /** Keys that take turns where a cache is to hold them. */
  readonly rotating: number
  /** Options of Bun for a server, by its name. */
  readonly flags?: (name: string) => readonly string[]
}

const root = join(import.meta.dir, '..')
const bun = process.execPath

const email = 'ann@example.com'
export const password = 'a password of some length'

const once = <Value>(make: () => Promise<Value>): (() => Promise<Value>) => {
  let made: Promise<Value> | null = null
  return () => {
    made ??= make()
    return made
  }
}

/** Everything that cases run on, made when the first of them asks for it. */
export const createStage = ({ folder, stored, rotating, flags = () => [] }: StageOptions) => {
  const secret = 'a secret of a benchmark that guards nothing at all'
  const servers: ServerProcess[] = []
  const start = async (
    name: string,
    command: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<ServerProcess> => {
    const server = await startServer({ name, command: [bun, ...flags(name), ...command], folder, env })
    servers.push(server)
    return server
  }

  const seeds = new Map<number, Seed>()
  const seed = (size: number): Seed => {
    const known = seeds.get(size)
    if (known !== undefined) return known
    const smaller = growthSizes.filter(other => other < size).at(-1)
    process.stderr.write(`Storing ${size.toLocaleString('en')} keys …\n`)
    const made = seedKeys(
      join(folder, `keys-${size}.sqlite`),
      size,
      smaller === undefined ? undefined : seed(smaller),
    )
    seeds.set(size, made)
    return made
  }

  const file = async (name: string, field: string, values: readonly string[]) => {
    const path = join(folder, `${name}.txt`)
    await Bun.write(path, `${values.map(value => `${field}: ${value}`).join('\n')}\n`)
    return { file: path, size: values.length }
  }
  const keyFile = (name: string, keys: readonly string[]): Promise<Credentials> =>
    file(name, 'X-API-Key', keys)

  /** A real `login`, with an administrator. */
  const login = once(async () => {
    const port = await freePort()
    const issuer = `http://127.0.0.1:${port}`
    const server = await start('login', [join(root, 'src/main.ts')], {
      ROLE: 'login',
      PORT: String(port),
      DATABASE_PATH: join(folder, 'login.sqlite'),
      AUDIENCES: `service-a,${audience}`,
      ADMIN_EMAIL: email,
      ADMIN_PASSWORD: password,
      ACCESS_TOKEN_SECONDS: '3600',
    })
    const { body } = await call(`${issuer}/auth/login`, { json: { email, password } })
    // What one line of a file has to be, where nothing is to be sent but a body.
    const headers = await file('nothing', 'Accept', ['*/*'])
    return { server, issuer, email, headers, token: textOf(body, 'access_token') }
  })

  const issuer = 'http://127.0.0.1:3000'
  const tokenOf = createTokens({ secret, issuer })

  const latchkey = (
    name: string,
    settings: Omit<ServerSettings, 'secret' | 'issuer'>,
    by = issuer,
    app = 'latchkey',
  ) =>
    start(name, [
      join(import.meta.dir, `servers/${app}.ts`),
      JSON.stringify({ ...settings, secret, issuer: by } satisfies ServerSettings),
    ])

  const database = (name: string, size: number): string =>
    copySeed(seed(size), join(folder, `${name}.sqlite`))

  const main = once(() => latchkey('latchkey', { database: database('latchkey', stored) }))
  // Refusals as they are, by the thousand and all from here.
  const tellsAll = once(() =>
    latchkey('latchkey-refusing', {
      database: database('latchkey-refusing', stored),
      tellsAllFailures: true,
    }),
  )
  const metering = once(async () => {
    const path = database('latchkey-metered', stored)
    return { server: await latchkey('latchkey-metered', { database: path }), database: path }
  })
  // Apart from the hot ones, which would pay for the uses that are written down after.
  const large = once(() =>
    latchkey('latchkey-large', {
      database: database('latchkey-large', stored),
      cacheEntries: Math.round(rotating * 1.5),
    }),
  )
  const small = once(() =>
    latchkey('latchkey-small', {
      database: database('latchkey-small', stored),
      cacheEntries: Math.round(rotating / 10),
    }),
  )
  const ofLogin = once(async () => {
    const { issuer: by } = await login()
    const jwksUrl = `${by}/.well-known/jwks.json`
    return latchkey('latchkey-es256', { database: join(folder, 'es256.sqlite'), jwksUrl }, by)
  })
  const inBareApp = once(() =>
    latchkey('latchkey-bare', { database: database('latchkey-bare', stored) }, issuer, 'latchkey-bare'),
  )
  const makesKeys = once(() => latchkey('latchkey-create', { database: join(folder, 'create.sqlite') }))
  const documents = once(async () => {
    const server = await start('service-a', [join(root, 'src/main.ts')], {
      ROLE: 'service-a',
      PORT: String(await freePort()),
      DATABASE_PATH: join(folder, 'service-a.sqlite'),
      LOGIN_URL: issuer,
      JWT_SECRET: secret,
      KEYS_PER_OWNER: String(hotKeys),
    })
    const keys = await createDocumentKeys(server.url, await tokenOf('usr_documents'))
    const body = JSON.stringify(document)
    return { server, body, credentials: await keyFile('documents', keys) }
  })

  const item = (
    name: string,
    server: ServerProcess,
    credentials: Credentials,
    refusal?: { status: number; code: string },
  ): Subject => ({ name, server, path: itemPath, credentials, ...(refusal ?? { status: 200 }) })

  const header = (value: string): Credentials => ({ header: value })
  const open: Credentials = { header: null }
  const invalid = { status: 403, code: 'api_key_invalid' }
  const hotKey = (name: string, keys: readonly string[]): Promise<Credentials> =>
    keyFile(name, keys.slice(0, hotKeys))
  const jwt = async (): Promise<Credentials> => header(`Authorization: Bearer ${await tokenOf('usr_1')}`)
  const bare = (name: string) => start(name, [join(import.meta.dir, `servers/${name}.ts`)])

  const betterAuth = async (mode: string): Promise<Subject> => {
    const path = join(folder, `better-auth-${mode}.sqlite`)
    const server = await start(`better-auth-${mode}`, [join(peersFolder, 'better-auth.ts'), mode, path])
    const credentials = header(`X-API-Key: ${textOf(server.announcement, 'key')}`)
    return item(`better-auth-${mode}`, server, credentials)
  }

  const growth = async (size: number, isHot: boolean): Promise<Subject> => {
    const { good } = seed(size)
    const name = `${isHot ? 'hot' : 'cold'}-${size}`
    // Where it is to miss, smaller than the smallest of them.
    const cache = isHot ? {} : { cacheEntries: 100 }
    const server = await latchkey(`latchkey-${name}`, {
      database: database(`latchkey-${name}`, size),
      ...cache,
    })
    return item(name, server, isHot ? await hotKey(name, good) : await keyFile(name, good))
  }

  /** Fails as often as an address is told why, so that from now on it is not. */
  const fail = async ({ url }: ServerProcess): Promise<void> => {
    for (const key of unknownKeys(defaultFailureLimits.perAddress)) {
      const headers = { 'X-API-Key': key }
      const response = await fetch(`${url}${itemPath}`, { headers, signal: AbortSignal.timeout(20_000) })
      await response.body?.cancel()
    }
  }

  const costly = async (name: CaseName, settings: Pick<Subject, 'connections'>): Promise<Subject> => {
    const { server } = await metering()
    const credentials = await keyFile('metered', seed(stored).metered.slice(1))
    return {
      ...item(name, server, credentials),
      path: costlyPath,
      prepare: async () => settleDisk(),
      ...settings,
    }
  }

  const makers: Readonly<Record<string, () => Promise<Subject>>> = {
    'without-auth': async () => item('without-auth', await bare('without-auth'), open),
    elysia: async () => item('elysia', await bare('elysia'), open),
    bun: async () => item('bun', await bare('bun'), open),
    'hot-key': async () => item('hot-key', await main(), await hotKey('hot', seed(stored).good)),
    'hot-key-limits': async () =>
      item('hot-key-limits', await main(), await hotKey('limited', seed(stored).limited)),
    'hot-hs256': async () => item('hot-hs256', await main(), await jwt()),
    'hot-es256': async () =>
      item('hot-es256', await ofLogin(), header(`Authorization: Bearer ${(await login()).token}`)),
    'hot-key-bare': async () =>
      item('hot-key-bare', await inBareApp(), await hotKey('hot', seed(stored).good)),
    'hot-hs256-bare': async () => item('hot-hs256-bare', await inBareApp(), await jwt()),
    rotating: async () =>
      item('rotating', await large(), await keyFile('rotating', seed(stored).good.slice(0, rotating))),
    'rotating-small': async () =>
      item('rotating-small', await small(), await keyFile('rotating', seed(stored).good.slice(0, rotating))),
    cold: async () => item('cold', await small(), await keyFile('cold', seed(stored).good)),
    garbage: async () =>
      item('garbage', await tellsAll(), await keyFile('garbage', garbageKeys(100_000)), invalid),
    unknown: async () =>
      item('unknown', await tellsAll(), await keyFile('unknown', unknownKeys(200_000)), invalid),
    'unknown-throttled': async () => {
      const server = await main()
      const credentials = await keyFile('unknown-throttled', unknownKeys(200_000))
      const refusal = { status: 429, code: 'rate_limited' }
      return { ...item('unknown-throttled', server, credentials, refusal), prepare: () => fail(server) }
    },
    revoked: async () =>
      item('revoked', await tellsAll(), await keyFile('revoked', seed(stored).revoked), {
        status: 403,
        code: 'api_key_revoked',
      }),
    metered: () => costly('metered', { connections: 1 }),
    'metered-together': () => costly('metered-together', {}),
    'create-key': async () => ({
      name: 'create-key',
      server: await makesKeys(),
      method: 'POST',
      path: '/api-keys',
      body: JSON.stringify({ name: 'bench', permissions: ['items:read'] }),
      credentials: await file(
        'makers',
        'Authorization',
        await Promise.all(
          Array.from({ length: 1_000 }, async (_, n) => `Bearer ${await tokenOf(`usr_${n}`)}`),
        ),
      ),
      status: 201,
    }),
    'document-read': async () => {
      const { server, credentials } = await documents()
      return { name: 'document-read', server, path: '/documents/doc-{n}', credentials, status: 200 }
    },
    'document-write': async () => ({
      name: 'document-write',
      ...(await documents()),
      method: 'PUT',
      path: '/documents/doc-{n}',
      status: 200,
    }),
    'better-auth-defaults': () => betterAuth('defaults'),
    'better-auth-normal': () => betterAuth('normal'),
    'better-auth-memory': () => betterAuth('memory'),
    'elysia-jwt': async () =>
      item(
        'elysia-jwt',
        await start('elysia-jwt', [join(peersFolder, 'elysia-jwt.ts'), secret]),
        header(`Authorization: Bearer ${await tokenOf('usr_1')}`),
      ),
    ...Object.fromEntries(
      growthSizes.flatMap(size => [
        [`hot-${size}`, () => growth(size, true)],
        [`cold-${size}`, () => growth(size, false)],
      ]),
    ),
  }

  return {
    login,
    /** Callers of a server with a metered key, and the database that its balance is in. */
    meteredCallers: once(async () => {
      const { server, database } = await metering()
      const { good, metered } = seed(stored)
      const [key = ''] = metered
      return {
        server,
        database,
        key,
        metered: { ...item('metered key', server, header(`X-API-Key: ${key}`)), path: costlyPath },
        hotKey: item('hot key', server, await hotKey('hot', good)),
        jwt: item('JWT', server, await jwt()),
      }
    }),
    /** @throws Error for a name that is no case. */
    subject: async (name: CaseName): Promise<Subject> => {
      const make = makers[name]
      if (make === undefined) throw new Error(`There is no case ${name}`)
      return make()
    },
    /** The databases that were made, smallest first. */
    databases: () =>
      [...seeds]
        .toSorted(([a], [b]) => a - b)
        .map(([size, { database: path }]) => ({ stored: size, megabytes: Bun.file(path).size / 1_000_000 })),
    /** Ends every server. */
    stop: async () => {
      await Promise.all(servers.map(server => server.stop()))
    },
  }
}

export type Stage = ReturnType<typeof createStage>
