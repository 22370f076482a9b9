import { describe, expect, test } from 'bun:test'
import { type AnyElysia, type DocumentDecoration, Elysia, t } from 'elysia'
import manifest from '../../package.json' with { type: 'json' }
import { apiDescription } from './openapi.ts'
import { createProblems } from './problem.ts'
import { appConfig } from './server.ts'
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
    .post('/things', () => ({ id: '1' }), {
      body: t.Object({ name: t.String({ description: 'For people' }) }),
      response: { 201: t.Object({ id: t.String() }) },
      detail: detail({ 'x-permission': 'things:write', summary: 'Make a thing' }),
    })
    .get('/things/:id', ({ params }) => params.id, {
      response: { 200: t.String(), 404: t.String() },
      detail: detail({ 'x-permission': 'any', 'x-credential': 'jwt' }),
    })
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
    expect(Object.keys(Object(Reflect.get(Object(document), 'paths')))).toHaveLength(4)
  })

  test('AUT-08: says of each operation which credentials it takes and what they must hold', async () => {
    expect(await describeApp(true)).toMatchObject({
      paths: {
        '/open': { get: { security: [] } },
        '/openapi.json': { get: { security: [] } },
        '/things': {
          post: { 'x-permission': 'things:write', security: [{ accessToken: [] }, { apiKey: [] }] },
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

  test('of a service without API keys names none', async () => {
    const document = await describeApp(false)
    expect(document).toMatchObject({ paths: { '/things': { post: { security: [{ accessToken: [] }] } } } })
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
