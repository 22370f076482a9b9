import { describe, expect, test } from 'bun:test'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { requirementsOf, showNeed } from '../lib/requirement.ts'
import { createLogin, createService, secret } from './apps.ts'

const login = createLogin()
const service = createService()

const Operation = Type.Object({
  summary: Type.String({ minLength: 1 }),
  tags: Type.Array(Type.String(), { minItems: 1 }),
  'x-permission': Type.Optional(Type.Union([Type.String(), Type.Object({})])),
  'x-credential': Type.Optional(Type.Literal('jwt')),
  security: Type.Array(Type.Record(Type.String(), Type.Array(Type.String()))),
  requestBody: Type.Optional(
    Type.Object({
      required: Type.Boolean(),
      content: Type.Record(Type.String(), Type.Object({ schema: Type.Unknown() })),
    }),
  ),
  parameters: Type.Optional(Type.Array(Type.Object({ name: Type.String(), in: Type.String() }))),
  responses: Type.Record(Type.String(), Type.Unknown()),
})
const Document = Type.Object({
  openapi: Type.Literal('3.1.0'),
  info: Type.Object({ title: Type.String(), version: Type.String() }),
  paths: Type.Record(Type.String(), Type.Record(Type.String(), Operation)),
  components: Type.Object({
    schemas: Type.Record(Type.String(), Type.Unknown()),
    responses: Type.Record(Type.String(), Type.Unknown()),
    securitySchemes: Type.Record(Type.String(), Type.Unknown()),
  }),
})

/** Every reference in a document, and what it names. */
const referencesIn = (value: unknown): string[] => {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, member]) =>
    key === '$ref' && typeof member === 'string' ? [member] : referencesIn(member),
  )
}

const resolve = (document: unknown, reference: string): unknown =>
  reference
    .replace(/^#\//, '')
    .split('/')
    .reduce<unknown>(
      (found, part) =>
        typeof found === 'object' && found !== null
          ? Object.entries(found).find(([key]) => key === part)?.[1]
          : undefined,
      document,
    )

const extension = (detail: unknown, name: string): unknown =>
  Object.entries(detail ?? {}).find(([key]) => key === name)?.[1]

describe.each([
  ['login', login.app],
  ['service-a', service.app],
] as const)('/openapi.json of %s', (name, app) => {
  const answer = async (): Promise<string> =>
    (await app.handle(new Request('http://localhost/openapi.json'))).text()
  const parse = async () => Value.Parse(Document, JSON.parse(await answer()))
  const routes = app.routes.map(({ method, path, hooks }) => ({
    title: `${method} ${path.replaceAll(/:([a-z]+)/g, '{$1}')}`,
    permission: requirementsOf(hooks).length === 0 ? undefined : showNeed(requirementsOf(hooks)),
    credential: extension(hooks.detail, 'x-credential'),
    isOAuth: extension(hooks.detail, 'x-oauth') === true,
    body: hooks.body === undefined ? undefined : { schema: JSON.parse(JSON.stringify(hooks.body)) },
    successes: Object.keys(hooks.response ?? {}),
  }))

  test('lists every route that there is, and no other', async () => {
    const { paths } = await parse()
    const listed = Object.entries(paths).flatMap(([path, operations]) =>
      Object.keys(operations).map(method => `${method.toUpperCase()} ${path}`),
    )
    expect(listed.sort()).toEqual(routes.map(({ title }) => title).sort())
  })

  test('says of each route what a caller must hold, and by which credential', async () => {
    const { paths } = await parse()
    for (const { title, permission, credential, isOAuth } of routes) {
      const [method = '', path = ''] = title.split(' ')
      const operation = paths[path]?.[method.toLowerCase()]
      const schemes = operation?.security.flatMap(scheme => Object.keys(scheme))
      const isOpen = permission === undefined
      const takesKeys = name === 'service-a' && credential !== 'jwt'
      expect([title, operation?.['x-permission'], operation?.['x-credential'], schemes]).toEqual([
        title,
        ...(isOpen ? [undefined, undefined] : [permission, credential === 'jwt' ? 'jwt' : undefined]),
        isOAuth ? ['client'] : isOpen ? [] : takesKeys ? ['accessToken', 'apiKey'] : ['accessToken'],
      ])
    }
    expect(routes.filter(({ permission }) => permission !== undefined).length).toBeGreaterThan(5)
  })

  test('says of each route what it answers: its own statuses, and a problem for any other', async () => {
    const { paths, components } = await parse()
    for (const { title, successes, isOAuth } of routes) {
      const [method = '', path = ''] = title.split(' ')
      const responses = paths[path]?.[method.toLowerCase()]?.responses ?? {}
      expect([title, Object.keys(responses).sort()]).toEqual([title, [...successes, 'default'].sort()])
      const errors = `#/components/responses/${isOAuth ? 'OAuthError' : 'Problem'}`
      expect([title, responses.default]).toEqual([title, { $ref: errors }])
    }
    expect(JSON.stringify(components.schemas.Problem)).toContain('"enum":[')
  })

  test('describes the body of each route that takes one, as JSON, or as a form where OAuth is spoken', async () => {
    const { paths } = await parse()
    for (const { title, body, isOAuth } of routes) {
      const [method = '', path = ''] = title.split(' ')
      const { requestBody } = paths[path]?.[method.toLowerCase()] ?? {}
      if (isOAuth) {
        expect([title, Object.keys(requestBody?.content ?? {})]).toEqual([
          title,
          ['application/x-www-form-urlencoded'],
        ])
        continue
      }
      expect([title, requestBody?.content]).toEqual([title, body && { 'application/json': body }])
      // The one that may be left out.
      if (body) expect([title, requestBody?.required]).toEqual([title, !path.endsWith('/rotate')])
    }
    expect(routes.filter(({ body }) => body !== undefined).length).toBeGreaterThan(3)
  })

  test('describes no content of an answer that has none', async () => {
    const { paths } = await parse()
    const empty = Object.values(paths).flatMap(operations =>
      Object.values(operations).flatMap(({ responses }) => ('204' in responses ? [responses['204']] : [])),
    )
    expect(empty.length).toBeGreaterThan(1)
    for (const response of empty) expect(response).toEqual({ description: 'Done' })
  })

  test('names every parameter of a path', async () => {
    const { paths } = await parse()
    for (const [path, operations] of Object.entries(paths)) {
      const expected = [...path.matchAll(/\{([a-z]+)\}/g)].map(([, parameter = '']) => parameter)
      for (const [method, { parameters = [] }] of Object.entries(operations)) {
        const named = parameters.filter(parameter => parameter.in === 'path').map(parameter => parameter.name)
        expect([method, path, named]).toEqual([method, path, expected])
      }
    }
  })

  test('is whole: each reference names a part of it, each security scheme is described', async () => {
    const document = await parse()
    for (const reference of referencesIn(document)) {
      expect([reference, resolve(document, reference) === undefined]).toEqual([reference, false])
    }
    const used = Object.values(document.paths).flatMap(operations =>
      Object.values(operations).flatMap(({ security }) => security.flatMap(scheme => Object.keys(scheme))),
    )
    expect([...new Set(used)].sort()).toEqual(Object.keys(document.components.securitySchemes).sort())
  })

  test('is JSON without gaps, the same each time, and holds no secret', async () => {
    const text = await answer()
    expect(text).toBe(await answer())
    expect(text).not.toContain('undefined')
    expect(text).not.toContain('[object')
    expect(text).not.toContain(secret)
  })
})
