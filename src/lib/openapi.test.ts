import { describe, expect, test } from 'bun:test'
import { type AnyElysia, type DocumentDecoration, Elysia, t } from 'elysia'
import manifest from '../../package.json' with { type: 'json' }
import { apiDescription } from './openapi.ts'
import { createProblems } from './problem.ts'
import { appConfig } from './server.ts'
import { createTestGuard } from './test-guard.ts'
import { ask } from './test-http.ts'

const detail = (extension: Record<string, unknown>): DocumentDecoration => ({ ...extension })

const createApp = (apiKeys: boolean) => {
  const app: AnyElysia = new Elysia(appConfig)
    .use(createProblems({ table: {}, onUnexpected: () => {} }))
    .use(
      apiDescription({
        title: 'Test',
        description: 'A test.',
        apiKeys,
        app: () => app,
        codes: ['not_found', 'teapot'],
      }),
    )
    .get('/open', () => 'open')
    .get('/forged', () => 'open', { detail: detail({ 'x-permission': 'things:read' }) })
    .use(createTestGuard().guard)
    .post('/things', () => ({ id: '1' }), {
      permission: 'notes:write',
      body: t.Object({ name: t.String({ description: 'For people' }) }),
      response: { 201: t.Object({ id: t.String() }) },
      detail: { summary: 'Make a thing', description: 'It is kept.' },
    })
    .get('/things/:id', ({ params }) => params.id, {
      permission: 'any',
      credential: 'jwt',
      response: { 200: t.String(), 404: t.String() },
    })
    .get('/all', () => 'all', { permission: ['notes:read', 'notes:write'] })
    .all('/one/:id?', () => 'one', { permission: { anyOf: ['notes:read', 'notes:write'] } })
    .group('/group', { permission: ['notes:read'] }, group =>
      group
        .get('/any', () => 'any', { permission: 'any' })
        .get('/one', () => 'one', { permission: { anyOf: ['notes:write', 'notes:read'] } }),
    )
  return app
}

const describeApp = async (apiKeys = true) => (await ask(createApp(apiKeys), 'GET', '/openapi.json')).json()

describe('HTTP-13: the description of an API', () => {
  test('is OpenAPI 3.1 of this release, with every route', async () => {
    const document = await describeApp()
    expect(document).toMatchObject({
      openapi: '3.1.0',
      info: { title: 'Test', description: 'A test.', version: manifest.version },
      paths: {
        '/openapi.json': { get: {} },
        '/open': { get: {} },
        '/things': { post: { summary: 'Make a thing' } },
        '/things/{id}': { get: { parameters: [{ name: 'id', in: 'path', required: true }] } },
      },
    })
    expect(Object.keys(Object(Reflect.get(Object(document), 'paths')))).toHaveLength(10)
  })

  test('AUT-08: says of each operation which credentials it takes and what they must hold', async () => {
    expect(await describeApp(true)).toMatchObject({
      paths: {
        '/open': { get: { security: [] } },
        '/openapi.json': { get: { security: [] } },
        '/things': {
          post: {
            'x-permission': 'notes:write',
            description: 'It is kept.\n\nNeeds notes:write.',
            security: [{ accessToken: ['notes:write'] }, { apiKey: ['notes:write'] }],
          },
        },
        '/things/{id}': {
          get: { 'x-permission': 'any', 'x-credential': 'jwt', security: [{ accessToken: [] }] },
        },
      },
      components: {
        securitySchemes: {
          accessToken: { type: 'http', scheme: 'bearer' },
          apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
        },
      },
    })
  })

  test('AUT-08: says it of lists too: a way in for each permission of which one is enough', async () => {
    const { paths } = Object(await describeApp(true))
    const all = ['notes:read', 'notes:write']
    expect(paths['/all'].get).toMatchObject({
      'x-permission': { allOf: all },
      description: 'Needs all of notes:read, notes:write.',
      security: [{ accessToken: all }, { apiKey: all }],
    })
    for (const [path, method] of [
      ['/one/{id}', 'get'],
      ['/one', 'delete'],
    ] as const) {
      expect(paths[path][method]).toMatchObject({
        'x-permission': { anyOf: all },
        description: 'Needs one of notes:read, notes:write.',
        security: [
          { accessToken: ['notes:read'] },
          { apiKey: ['notes:read'] },
          { accessToken: ['notes:write'] },
          { apiKey: ['notes:write'] },
        ],
      })
    }
  })

  test('AUT-08: says what a group or guard around a route asks for besides', async () => {
    const { paths } = Object(await describeApp(false))
    expect(paths['/group/any'].get).toMatchObject({
      'x-permission': 'notes:read',
      security: [{ accessToken: ['notes:read'] }],
    })
    expect(paths['/group/one'].get).toMatchObject({
      'x-permission': { allOf: ['notes:read', { anyOf: ['notes:write', 'notes:read'] }] },
      description: 'Needs notes:read, and one of notes:write, notes:read.',
      security: [{ accessToken: ['notes:read', 'notes:write'] }, { accessToken: ['notes:read'] }],
    })
  })

  test('AUT-08: says of no open route that it is guarded', async () => {
    const { paths } = Object(await describeApp())
    expect(paths['/forged'].get).toMatchObject({ security: [] })
    expect(paths['/forged'].get).not.toHaveProperty('x-permission')
  })

  test('of a service without API keys names none', async () => {
    const document = await describeApp(false)
    expect(document).toMatchObject({
      paths: { '/things': { post: { security: [{ accessToken: ['notes:write'] }] } } },
    })
    expect(JSON.stringify(document)).not.toContain('apiKey')
  })

  test('says once how every error looks, with all codes, and repeats it nowhere', async () => {
    const document = await describeApp()
    expect(document).toMatchObject({
      paths: {
        '/things': { post: { responses: { 201: {}, default: { $ref: '#/components/responses/Problem' } } } },
      },
      components: {
        responses: { Problem: { content: { 'application/problem+json': {} } } },
        schemas: { Problem: { properties: { code: { enum: ['not_found', 'teapot'] } } } },
      },
    })
    expect(JSON.stringify(document)).not.toMatch(/"(4|5)\d\d":/)
  })

  test('is the same at every request, and can be read by every program: no reference leads nowhere', async () => {
    const app = createApp(true)
    const first = await ask(app, 'GET', '/openapi.json')
    expect(first.headers.get('content-type')).toStartWith('application/json')
    expect((await ask(app, 'GET', '/openapi.json')).text).toBe(first.text)
    for (const [, reference = ''] of first.text.matchAll(/"\$ref":"#\/([^"]+)"/g)) {
      const target = reference
        .split('/')
        .reduce<unknown>((value, key) => Reflect.get(Object(value), key), first.json())
      expect({ reference, isThere: target !== undefined }).toEqual({ reference, isThere: true })
    }
  })
})
