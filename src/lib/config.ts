import { readFileSync } from 'node:fs'
import { type Static, type TObject, type TPartial, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { proxyFaults } from './client-address.ts'
import { StartError } from './start-error.ts'

/** What a process was started with. Read once, in `main.ts`. */
export type Env = Readonly<Record<string, string | undefined>>

/**
 * Annotations of a setting beside TypeBox's own: `secret` ones can come from a file named by `X_FILE` and are never
 * printed; `mend` says in a few words what to write.
 */
export type SettingOptions = {
  readonly description: string
  readonly mend: string
  readonly secret?: boolean
}

const isSecret = (schema: TSchema): boolean => schema.secret === true

const mendOf = (schema: TSchema): string =>
  typeof schema.mend === 'string' ? schema.mend : 'see the documentation'

/** Every fault of a configuration, so that one start tells all of them. */
export class ConfigError extends StartError {
  override readonly name = 'ConfigError'
  readonly faults: readonly string[]
  constructor(faults: readonly string[]) {
    super(
      `The configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n${faults.map(fault => `  ${fault}`).join('\n')}`,
    )
    this.faults = faults
  }
}

const textOf = (name: string, schema: TSchema, env: Env, faults: string[]): string | undefined => {
  const given = env[name] || undefined
  const file = isSecret(schema) ? env[`${name}_FILE`] || undefined : undefined
  if (file === undefined) return given
  if (given !== undefined) {
    faults.push(`${name} and ${name}_FILE are both set: set one.`)
    return given
  }
  try {
    // Editors and `echo` end a file with a newline that nobody meant.
    const text = readFileSync(file, 'utf8').replace(/\r?\n$/, '')
    if (text === '') faults.push(`${name}_FILE names a file that is empty.`)
    return text
  } catch {
    faults.push(`${name}_FILE names a file that can not be read.`)
    return undefined
  }
}

/** Text of the environment as the type that the schema asks for; lists are separated by commas. */
const toValue = (text: string, schema: TSchema): unknown => {
  if (schema.type === 'array') {
    return text
      .split(',')
      .map(item => item.trim())
      .filter(item => item !== '')
  }
  if (schema.type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text
  if (schema.type === 'integer') return /^-?\d{1,15}$/.test(text) ? Number(text) : text
  return text
}

/**
 * Reads settings from the environment by a schema whose members are the names of variables. An empty variable
 * counts as not set.
 *
 * @param check faults that more than one setting makes together, by those that are good by themselves.
 * @throws ConfigError with all faults at once, each with the variable's name and how to mend it, no value quoted.
 */
export const readConfig = <Schema extends TObject>(
  schema: Schema,
  env: Env,
  check: (config: Static<TPartial<Schema>>) => readonly string[] = () => [],
): Static<Schema> => {
  const faults: string[] = []
  const bad = new Set<string>()
  const values: Record<string, unknown> = {}
  for (const [name, property] of Object.entries<TSchema>(schema.properties)) {
    const before = faults.length
    const text = textOf(name, property, env, faults)
    const value = text === undefined || text === '' ? property.default : toValue(text, property)
    if (value === undefined) {
      if (schema.required?.includes(name)) faults.push(`${name} is not set: ${mendOf(property)}.`)
    } else if (Value.Check(property, value)) {
      values[name] = value
    } else {
      const [first] = Value.Errors(property, value)
      faults.push(`${name} is not valid (${first?.message ?? 'wrong form'}): ${mendOf(property)}.`)
    }
    if (faults.length > before) bad.add(name)
  }
  // Also when some are bad already: what is wrong with the others is told in the same breath.
  if (Value.Check(Type.Partial(schema), values)) {
    // A setting that is bad by itself is told of once, and not again as one that is missing beside others.
    const isKnown = (fault: string): boolean => [...bad].some(name => new RegExp(`\\b${name}\\b`).test(fault))
    faults.push(...check(values).filter(fault => !isKnown(fault)))
  }
  if (faults.length > 0 || !Value.Check(schema, values)) throw new ConfigError(faults)
  return values
}

/** Settings by kind, for schemas of {@link readConfig}. */
export const setting = {
  text: (
    options: SettingOptions & { default?: string; pattern?: string; minLength?: number; maxLength?: number },
  ) => Type.String(options),
  url: (options: SettingOptions & { default?: string }) =>
    Type.String({ pattern: '^https?://[^\\s/?#@]+(/[^\\s?#]*[^\\s?#/])?$', ...options }),
  integer: (options: SettingOptions & { default?: number; minimum: number; maximum: number }) =>
    Type.Integer(options),
  boolean: (options: SettingOptions & { default: boolean }) => Type.Boolean(options),
  list: (options: SettingOptions & { default: string[] }) =>
    Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { maxItems: 32, ...options }),
}

/** Settings that both roles have. */
export const commonSettings = ({ port, database }: { port: number; database: string }) => ({
  HOST: setting.text({
    description: 'Address to listen on. Anything but loopback opens the service to the network.',
    mend: 'an address of this machine, such as 127.0.0.1 or 0.0.0.0',
    default: '127.0.0.1',
    minLength: 1,
  }),
  PORT: setting.integer({
    description: 'Port to listen on; 0 takes a free one.',
    mend: 'a number from 0 to 65535',
    default: port,
    minimum: 0,
    maximum: 65_535,
  }),
  DATABASE_PATH: setting.text({
    description: 'The SQLite file. It is made (mode 0600) when it is not there.',
    mend: 'a path, such as ./data/login.sqlite',
    default: database,
    minLength: 1,
  }),
  TRUSTED_PROXIES: setting.list({
    description:
      'Addresses and networks of the proxies before this service, separated by commas. Of a request that comes from one of these, `X-Forwarded-For` says who the client is; from anybody else that header means nothing.',
    mend: 'up to 32 addresses and networks separated by commas, such as 127.0.0.1, ::1, 10.0.3.0/24',
    default: [],
  }),
  LOG_LEVEL: Type.Union(
    [
      Type.Literal('debug'),
      Type.Literal('info'),
      Type.Literal('warn'),
      Type.Literal('error'),
      Type.Literal('silent'),
    ],
    {
      description: 'Least level that is logged; `info` has a line for each request.',
      mend: 'debug, info, warn, error or silent',
      default: 'info',
    },
  ),
  DRAIN_SECONDS: setting.integer({
    description: 'How long requests under way may take after SIGTERM.',
    mend: 'a number from 0 to 300',
    default: 30,
    minimum: 0,
    maximum: 300,
  }),
  OPENAPI: setting.boolean({
    description: 'Whether `/openapi.json` is answered.',
    mend: 'true or false',
    default: true,
  }),
  METRICS_TOKEN: Type.Optional(
    setting.text({
      description:
        'Lets in to `/metrics` whoever sends it as `Authorization: Bearer`. Without it, this machine alone.',
      mend: 'at least 16 random characters, such as the output of: openssl rand -hex 16',
      secret: true,
      minLength: 16,
      maxLength: 256,
      pattern: '^[!-~]*$',
    }),
  ),
  JWT_SECRET: Type.Optional(
    setting.text({
      description:
        'Shared secret of `login` and the services (HS256), at least 32 random bytes. Whoever has it can sign tokens for anyone. Without it `login` signs with a key of its own (ES256) and services fetch the public half.',
      mend: 'at least 32 random bytes, such as the output of: openssl rand -base64 32',
      secret: true,
      minLength: 32,
    }),
  ),
})

/** Faults of settings that both roles have and no schema tells. */
export const commonFaults = ({ TRUSTED_PROXIES = [] }: { TRUSTED_PROXIES?: string[] }): string[] =>
  proxyFaults(TRUSTED_PROXIES).map(
    ({ index, rule }) => `TRUSTED_PROXIES is not valid: number ${index + 1} of the list ${rule}.`,
  )

/** Whether an address is this machine's own. */
export const isLoopbackHost = (host: string): boolean =>
  /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/.test(host)
