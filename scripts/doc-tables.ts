import { Database } from 'bun:sqlite'
import type { TObject, TSchema } from '@sinclair/typebox'
import { apikeyProblems } from '../src/apikey/index.ts'
import { systemClock } from '../src/lib/clock.ts'
import { createLog } from '../src/lib/log.ts'
import { commonProblems } from '../src/lib/problem.ts'
import type { ProblemTable } from '../src/lib/problem-answer.ts'
import { requirementsOf, sayNeed } from '../src/lib/requirement.ts'
import { createLoginApp } from '../src/login/app.ts'
import { LoginConfig } from '../src/login/config.ts'
import { loginProblems } from '../src/login/errors.ts'
import { createSecretKeys } from '../src/login/signing-keys.ts'
import { createServiceApp } from '../src/service-a/app.ts'
import { ServiceConfig } from '../src/service-a/config.ts'
import { serviceProblems } from '../src/service-a/errors.ts'
import { createServiceGuard } from '../src/service-a/guard.ts'
import { figuresName } from '../test/revocation/docs.ts'
import { render } from '../test/revocation/report.ts'
import { readSummary } from '../test/revocation/results.ts'

const row = (...cells: string[]): string =>
  `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`

const table = (head: string[], rows: string[][]): string =>
  [row(...head), row(...head.map(() => '---')), ...rows.map(cells => row(...cells))].join('\n')

const defaultOf = (name: string, schema: TSchema, { required = [] }: TObject): string => {
  const value: unknown = schema.default
  if (value !== undefined) return `\`${Array.isArray(value) ? value.join(',') : String(value)}\``
  return required.includes(name) ? 'required' : ''
}

const settings = (schema: TObject): string =>
  table(
    ['variable', 'default', 'what it is'],
    Object.entries<TSchema>(schema.properties).map(([name, property]) => [
      `\`${name}\`${property.secret === true ? `, \`${name}_FILE\`` : ''}`,
      defaultOf(name, property, schema),
      `${property.description ?? ''}`,
    ]),
  )

const codes = (problems: ProblemTable<string>): string =>
  table(
    ['code', 'status', 'title'],
    Object.entries(problems)
      .toSorted(([a, x], [b, y]) => x.status - y.status || a.localeCompare(b))
      .map(([code, { status, title }]) => [`\`${code}\``, String(status), title]),
  )

type Route = { method: string; path: string; hooks: { detail?: object } }

const detailOf = ({ hooks }: Route, name: string): string => {
  const found = Object.entries(hooks.detail ?? {}).find(([key]) => key === name)?.[1]
  return typeof found === 'string' ? found : ''
}

const permissionOf = (route: Route): string => {
  const requirements = requirementsOf(route.hooks)
  if (requirements.length === 0) return 'anyone'
  const words = sayNeed(requirements)
  const needed = words === '' ? 'any' : words.replaceAll(/[^ ,]+:[^ ,]+/g, '`$&`')
  return detailOf(route, 'x-credential') === 'jwt' ? `${needed}, access token only` : needed
}

const routes = (app: { routes: Route[] }): string =>
  table(
    ['route', 'permission', 'what it does'],
    app.routes.map(route => [
      `\`${route.method} ${route.path}\``,
      permissionOf(route),
      detailOf(route, 'summary'),
    ]),
  )

/** Apps that are built and never asked anything: whatever they would need throws. */
const apps = () => {
  const never = (): never => {
    throw new Error('Only the routes are wanted')
  }
  const log = createLog({ level: 'silent', service: 'docs' })
  const common = {
    describeApi: true,
    ready: async () => true,
    lifecycle: { draining: false },
    clock: systemClock,
    log,
  }
  const login = createLoginApp({
    ...common,
    users: {
      create: never,
      createFirstAdmin: never,
      authenticate: never,
      get: never,
      list: never,
      update: never,
      disable: never,
      enable: never,
      remove: never,
    },
    userStore: { findById: never },
    sessions: { start: never, isLive: never, refresh: never, inspect: never, signOut: never },
    feed: { read: never, snapshot: never, subject: never, latest: never },
    polls: { wait: never, end: never },
    clients: {
      insert: never,
      register: never,
      find: never,
      findCredential: never,
      list: never,
      update: never,
      disable: never,
      enable: never,
      remove: never,
      rotate: never,
    },
    revocation: { isRevoked: never, revoke: never },
    setup: { create: never, isValid: never },
    signingKeys: createSecretKeys('of no use: nothing is signed with it'),
    issuer: 'http://localhost',
    audiences: [],
    accessTokenSeconds: 300,
  })
  const database = new Database(':memory:')
  const guard = createServiceGuard(
    {
      ISSUER: 'http://localhost',
      AUDIENCE: 'service-a',
      LOGIN_URL: 'http://localhost',
      API_KEY_PREFIX: 'lk',
      ALLOW_INSECURE_LOGIN: false,
    },
    { database, clock: systemClock },
  )
  const service = createServiceApp({
    ...common,
    guard,
    database,
    login: {
      findUser: never,
      findClient: never,
      ownProfile: never,
      changeOwnProfile: never,
      closeOwnAccount: never,
    },
  })
  return { login, service }
}

/** Generated tables by page and name. */
export const docTables = (): Record<string, Record<string, string>> => {
  const { login, service } = apps()
  return {
    'docs/operations.md': {
      'login settings': settings(LoginConfig),
      'service-a settings': settings(ServiceConfig),
    },
    'docs/http-api.md': {
      'login routes': routes(login),
      'service-a routes': routes(service),
      'login codes': codes({ ...commonProblems, ...loginProblems }),
      'service-a codes': codes({ ...apikeyProblems, ...serviceProblems }),
    },
    'docs/revocation.md': { [figuresName]: render(readSummary()) },
  }
}
