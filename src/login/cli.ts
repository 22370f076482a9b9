import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { readArguments, UsageError } from '../lib/command-line.ts'
import { commonSettings, type Env, readConfig } from '../lib/config.ts'
import { Failure } from '../lib/failure.ts'
import { isDatabaseUnavailable } from '../lib/sqlite.ts'
import { StartError } from '../lib/start-error.ts'
import { createChangeLog } from './change-log.ts'
import { openLoginFile } from './cli-database.ts'
import { ClientName, ClientScopes, clientIdPattern } from './client-model.ts'
import { type ClientRegistry, createClientRegistry, maxGraceSeconds } from './client-registry.ts'
import { createSecretChecker } from './client-secret.ts'
import { type ClientErrorCode, type ClientStore, createSqliteClientStore } from './client-store.ts'
import { type ClientView, toClientView } from './client-view.ts'

const usage = `Usage: latchkey clients <verb> [--json]

Service accounts of the login whose database DATABASE_PATH names (./data/login.sqlite when it
is not set), beside the running service. A secret is printed once.

  create --name NAME [--scope resource:action]... [--id cli_...]
  list
  rotate ID [--grace-seconds N]    the secret before stays good for N seconds (86400)
  disable ID | enable ID | delete ID
`

type Options = {
  readonly json?: boolean | undefined
  readonly name?: string | undefined
  readonly id?: string | undefined
  readonly scope?: string[] | undefined
  readonly 'grace-seconds'?: string | undefined
}

type Command = {
  /** Options that the verb has beside --json. */
  readonly options: readonly (keyof Options)[]
  /** Whether an id stands after the verb. */
  readonly takesId: boolean
  /** Whether a database may be made for it. */
  readonly makesDatabase?: boolean
  /** What is to be done. @throws UsageError before a database is touched. */
  readonly prepare: (id: string, options: Options) => (parts: Parts) => Promise<Outcome>
}

type Parts = { readonly store: ClientStore; readonly registry: ClientRegistry }

/** What is printed: clients, perhaps with a secret, or nothing but that it is done. */
type Outcome = {
  readonly clients: readonly ClientView[]
  readonly secret?: string
  readonly isList?: boolean
}

const graceOf = (text: string | undefined): number | undefined => {
  if (text === undefined) return undefined
  const seconds = /^\d{1,8}$/.test(text) ? Number(text) : Number.NaN
  if (seconds <= maxGraceSeconds) return seconds
  throw new UsageError(`--grace-seconds takes a number from 0 to ${maxGraceSeconds}.`)
}

const idForm = new RegExp(clientIdPattern)

const listAll = async (store: ClientStore): Promise<ClientView[]> => {
  const clients: ClientView[] = []
  let after: Parameters<ClientStore['list']>[0]['after'] = null
  do {
    const page = await store.list({ limit: 200, after })
    clients.push(...page.items.map(toClientView))
    after = page.next
  } while (after !== null)
  return clients
}

const commands: ReadonlyMap<string, Command> = new Map([
  [
    'create',
    {
      options: ['name', 'id', 'scope'],
      takesId: false,
      makesDatabase: true,
      prepare: (_, { name, id, scope: scopes = [] }) => {
        if (!Value.Check(ClientName, name)) throw new UsageError('--name takes 1 to 100 characters.')
        if (!Value.Check(ClientScopes, scopes)) {
          throw new UsageError('--scope takes resource:action in lower case, at most 32 times.')
        }
        if (id !== undefined && !idForm.test(id)) {
          throw new UsageError('--id takes cli_ and up to 60 letters, digits, _ or -.')
        }
        const input = { name, scopes, ...(id === undefined ? {} : { id }) }
        return async ({ registry }) => {
          const { client, secret } = await registry.create(input, bySystem)
          return { clients: [toClientView(client)], secret }
        }
      },
    },
  ],
  [
    'list',
    {
      options: [],
      takesId: false,
      prepare:
        () =>
        async ({ store }) => ({ clients: await listAll(store), isList: true }),
    },
  ],
  [
    'rotate',
    {
      options: ['grace-seconds'],
      takesId: true,
      prepare: (id, options) => {
        const graceSeconds = graceOf(options['grace-seconds'])
        return async ({ registry }) => {
          const { client, secret } = await registry.rotate(id, graceSeconds, bySystem)
          return { clients: [toClientView(client)], secret }
        }
      },
    },
  ],
  [
    'disable',
    {
      options: [],
      takesId: true,
      prepare:
        id =>
        async ({ store }) => ({ clients: [toClientView(await store.disable(id, bySystem))] }),
    },
  ],
  [
    'enable',
    {
      options: [],
      takesId: true,
      prepare:
        id =>
        async ({ store }) => ({ clients: [toClientView(await store.enable(id, bySystem))] }),
    },
  ],
  [
    'delete',
    {
      options: [],
      takesId: true,
      prepare:
        id =>
        async ({ store }) => {
          await store.remove(id, bySystem)
          return { clients: [] }
        },
    },
  ],
] satisfies [string, Command][])

const words: Readonly<Record<ClientErrorCode, string>> = {
  client_not_found: 'There is no such service account.',
  client_limit_reached: 'There are as many service accounts as allowed.',
  client_id_taken: 'The id belongs to a service account, or did so once.',
}

const isClientError = (code: string): code is ClientErrorCode => Object.hasOwn(words, code)

/** Null for what is nobody's doing. */
const textOfError = (error: unknown): string | null => {
  if (error instanceof StartError) return error.message
  if (isDatabaseUnavailable(error)) return 'The database can not be used right now: try again.'
  if (!(error instanceof Failure)) return null
  const { code, errors = [] } = error
  if (isClientError(code)) return words[code]
  if (errors.length > 0) return errors.map(({ field, rule }) => `${field} ${rule}.`).join(' ')
  return code === 'unavailable' ? 'The database is busy: try again.' : null
}

const lineOf = ({ id, status, name, scopes }: ClientView): string =>
  `${id}\t${status}\t${scopes.join(' ') || '-'}\t${name}\n`

const textOf = ({ clients, secret }: Outcome): string =>
  clients.map(lineOf).join('') + (secret === undefined ? '' : `secret\t${secret}\n`)

/** One client is an object, a list is a list, whatever is in it. */
const jsonOf = ({ clients, secret, isList = false }: Outcome): string => {
  const [client = {}] = clients
  const value = isList ? clients : { ...client, ...(secret === undefined ? {} : { secret }) }
  return `${JSON.stringify(value)}\n`
}

const parse = (args: readonly string[]) => {
  const [verb = '', ...rest] = args
  const command = commands.get(verb)
  if (command === undefined) throw new UsageError(verb === '' ? '' : 'There is no such verb.')
  const { values, positionals } = readArguments(rest, {
    json: { type: 'boolean' },
    name: { type: 'string' },
    id: { type: 'string' },
    scope: { type: 'string', multiple: true },
    'grace-seconds': { type: 'string' },
  })
  const options: Options = values
  const foreign = Object.keys(values).find(
    name => name !== 'json' && !command.options.some(own => own === name),
  )
  if (foreign !== undefined) throw new UsageError(`--${foreign} is no option of ${verb}.`)
  if (positionals.length !== (command.takesId ? 1 : 0)) {
    throw new UsageError(command.takesId ? `${verb} takes one id.` : `${verb} takes no id.`)
  }
  const { makesDatabase = false, prepare } = command
  return { work: prepare(positionals[0] ?? '', options), makesDatabase, isJson: options.json === true }
}

/** The verbs of `latchkey clients`. Exit code 0: done, 1: not, 2: not a use of it. Nothing is asked of `stdin`. */
export const run = async (args: readonly string[], env: Env): Promise<number> => {
  try {
    const { work, makesDatabase, isJson } = parse(args)
    const { DATABASE_PATH: settings } = commonSettings({ port: 3000, database: './data/login.sqlite' })
    const { DATABASE_PATH: path } = readConfig(Type.Object({ DATABASE_PATH: settings }), env)
    const database = openLoginFile(path, makesDatabase)
    try {
      const store = createSqliteClientStore({
        database,
        clock: systemClock,
        changes: createChangeLog(database),
      })
      const registry = createClientRegistry({ store, checker: createSecretChecker(), clock: systemClock })
      const outcome = await work({ store, registry })
      process.stdout.write(isJson ? jsonOf(outcome) : textOf(outcome))
      return 0
    } finally {
      database.close()
    }
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`${error.message === '' ? '' : `${error.message}\n\n`}${usage}`)
      return 2
    }
    const text = textOfError(error)
    if (text === null) throw error
    process.stderr.write(`${text}\n`)
    return 1
  }
}
