/**
 * Writes test/types/<app>-client.ts, one check for each route of an app and each status that it can answer with:
 * `bun scripts/generate-type-tests.ts`. What a check expects is read from the schemas that the running app
 * validates with, so that Eden's types are held against what is on the wire. `tsc` is what runs them.
 */
import { TypeGuard } from '@sinclair/typebox'
import type { AnyElysia } from 'elysia'
import { createLogin, createService } from '../src/architecture/apps.ts'

type Client = {
  readonly app: AnyElysia
  readonly file: string
  readonly imports: readonly string[]
  readonly create: string
  /** The union of codes that its errors have. */
  readonly codes: string
}

/** Routes that the client does not show: `/openapi.json` is there or not by configuration, the others take forms. */
const hidden = ['GET /openapi.json', 'POST /oauth/token', 'POST /oauth/introspect', 'POST /oauth/revoke']

const fields = (value: unknown): [string, unknown][] =>
  typeof value === 'object' && value !== null ? Object.entries(value) : []

/** A schema as the TypeScript type of its values. */
const typeText = (schema: unknown): string => {
  if (TypeGuard.IsUnknown(schema)) return 'unknown'
  if (TypeGuard.IsVoid(schema)) return 'void'
  if (TypeGuard.IsString(schema)) return 'string'
  if (TypeGuard.IsNumber(schema) || TypeGuard.IsInteger(schema)) return 'number'
  if (TypeGuard.IsBoolean(schema)) return 'boolean'
  if (TypeGuard.IsNull(schema)) return 'null'
  if (TypeGuard.IsLiteral(schema)) {
    return typeof schema.const === 'string' ? `'${schema.const}'` : String(schema.const)
  }
  if (TypeGuard.IsUnion(schema)) return schema.anyOf.map(typeText).join(' | ')
  if (TypeGuard.IsArray(schema)) return `(${typeText(schema.items)})[]`
  if (TypeGuard.IsRecord(schema)) {
    return `Record<string, ${Object.values(schema.patternProperties).map(typeText).join(' | ')}>`
  }
  if (TypeGuard.IsObject(schema)) {
    const members = Object.entries(schema.properties).map(
      ([name, member]) => `${name}${TypeGuard.IsOptional(member) ? '?' : ''}: ${typeText(member)}`,
    )
    return `{\n${members.join('\n')}\n}`
  }
  throw new Error(`There is no type for ${JSON.stringify(schema)}`)
}

/** What Eden lets be sent for no body: nothing where the schema requires nothing, and null where it is optional. */
const emptyBodies = (schema: unknown): string[] => {
  if (TypeGuard.IsSchema(schema) && TypeGuard.IsOptional(schema)) return ['null', 'undefined']
  const isEmptyEnough = TypeGuard.IsObject(schema) && (schema.required ?? []).length === 0
  return isEmptyEnough || TypeGuard.IsUnknown(schema) ? ['undefined'] : []
}

/** Where the client has a route: `/users/:id` is called with the id. */
const pathText = (path: string): string =>
  path
    .split('/')
    .slice(1)
    .reduce(
      (client, part) => (part.startsWith(':') ? `ReturnType<${client}>` : `${client}['${part}']`),
      'Client',
    )

const nameOf = (method: string, path: string): string =>
  [method.toLowerCase(), ...path.split(/[^A-Za-z]+/)]
    .map(word => word.charAt(0).toUpperCase() + word.slice(1))
    .join('')

const format = (path: string, text: string): string => {
  const { exitCode, stdout, stderr } = Bun.spawnSync(
    [process.execPath, 'biome', 'format', `--stdin-file-path=${path}`],
    { stdin: Buffer.from(text) },
  )
  if (exitCode !== 0) throw new Error(stderr.toString())
  return stdout.toString()
}

const describe = ({ app, file, imports, create, codes }: Client): string => {
  const types = new Map<string, string>()
  /** A name for a type, one for all routes that share it. */
  const named = (name: string, schema: unknown): string => {
    const text = typeText(schema)
    if (!text.startsWith('{')) return text
    const title = TypeGuard.IsObject(schema) ? schema.title : undefined
    if (!types.has(text)) types.set(text, title ?? name)
    return types.get(text) ?? name
  }

  const checks: string[] = []
  const statuses = new Set<string>()
  for (const { method, path, hooks } of app.routes) {
    const title = `${method} ${path}`
    if (hidden.includes(title)) continue
    const call = `${pathText(path)}['${method.toLowerCase()}']`
    const name = nameOf(method, path)
    const data = fields(hooks.response).map(([, schema]) => named(name, schema))
    checks.push(`// ${title}`, `None<WrongData<${call}, ${[...new Set(data)].join(' | ')}>>,`)
    if (hooks.body !== undefined) {
      // Eden takes any JSON for `{}`, so that null is left out.
      const given = TypeGuard.IsUnknown(hooks.body)
        ? 'NonNullable<unknown>'
        : named(`${name}Body`, hooks.body)
      const body = [given, ...emptyBodies(hooks.body)]
      checks.push(`None<WrongBody<${call}, ${body.join(' | ')}>>,`)
    }
    if (hooks.query !== undefined) checks.push(`None<AnyQuery<${call}>>,`)
    const declared = [hooks.standaloneValidator ?? []]
      .flat()
      .flatMap(validator => fields(validator.response).map(([status]) => status))
    statuses.add([...new Set(declared)].join(' | '))
    checks.push(`None<WrongErrors<${call}, Status, Problem<Code>>>,`)
  }
  if (statuses.size !== 1) throw new Error('The routes of an app do not declare the same statuses')

  return format(
    `test/types/${file}`,
    [
      '/* Written by `bun scripts/generate-type-tests.ts`: every route by every status. Compiled, never run. */',
      ...imports,
      "import type { AnyQuery, AnyString, None, WrongBody, WrongData, WrongErrors } from './equal.ts'",
      '',
      `type Client = ReturnType<typeof ${create}>`,
      `type Status = ${[...statuses].join()}`,
      `type Code = ${codes}`,
      '',
      ...[...types].map(([text, name]) => `type ${name} = ${text}\n`),
      `export type Checks = [\n${checks.join('\n')}\n]`,
      '',
      '// A union of literals, or the checks of errors say little.',
      'export type Codes = None<AnyString<Code>>',
    ].join('\n'),
  )
}

/** The generated files, by name. */
export const typeTests = (): Record<string, string> => {
  const clients: Client[] = [
    {
      app: createLogin().app,
      file: 'login-client.ts',
      imports: [
        "import type { CommonCode } from '../../src/lib/problem.ts'",
        "import type { Problem } from '../../src/lib/problem-answer.ts'",
        "import type { createLoginClient } from '../../src/login/client.ts'",
        "import type { LoginCode } from '../../src/login/errors.ts'",
      ],
      create: 'createLoginClient',
      codes: 'CommonCode | LoginCode',
    },
    {
      app: createService().app,
      file: 'service-a-client.ts',
      imports: [
        "import type { ApikeyCode } from '../../src/apikey/errors.ts'",
        "import type { Problem } from '../../src/lib/problem-answer.ts'",
        "import type { createServiceAClient } from '../../src/service-a/client.ts'",
        "import type { ServiceCode } from '../../src/service-a/errors.ts'",
      ],
      create: 'createServiceAClient',
      codes: 'ApikeyCode | ServiceCode',
    },
  ]
  return Object.fromEntries(clients.map(client => [client.file, describe(client)]))
}

if (import.meta.main) {
  for (const [file, text] of Object.entries(typeTests())) await Bun.write(`test/types/${file}`, text)
}
