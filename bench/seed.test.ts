import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Elysia } from 'elysia'
import { apikey, internalsOf, problems } from '../src/apikey/index.ts'
import { garbageKeys, type Seed, seedKeys, unknownKeys } from './seed.ts'

let folder: string
let seed: Seed
let ask: (key: string) => Promise<string>
let stop: () => Promise<void>
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'seed-'))
  const smaller = seedKeys(join(folder, 'small.sqlite'), 20)
  seed = seedKeys(join(folder, 'keys.sqlite'), 50, smaller)
  const auth = apikey({
    issuer: 'http://127.0.0.1:3000',
    jwt: { secret: 'a secret of thirty-two characters' },
    audience: 'bench',
    database: seed.database,
    roles: { user: ['items:read'] },
    log: { info: () => {}, warn: () => {} },
  })
  const app = new Elysia()
    .use(problems())
    .use(auth)
    .get('/', ({ principal }) => principal.kind, { permission: 'items:read' })
  ask = async key => {
    const response = await app.handle(new Request('http://localhost/', { headers: { 'x-api-key': key } }))
    return response.ok ? response.text() : (/"code":"(\w+)"/.exec(await response.text())?.[1] ?? '')
  }
  stop = internalsOf(auth).stop
})
afterAll(async () => {
  await stop()
  rmSync(folder, { recursive: true })
})

test('what is stored is let in and refused as what the plugin makes itself', async () => {
  expect(new Set(seed.good).size).toBe(50)
  expect(new Set(await Promise.all(seed.good.map(ask)))).toEqual(new Set(['key']))
  expect(new Set(await Promise.all(seed.revoked.slice(0, 50).map(ask)))).toEqual(new Set(['api_key_revoked']))
})

test('keys of each kind are let in', async () => {
  expect(new Set(await Promise.all([...seed.limited, ...seed.metered].map(ask)))).toEqual(new Set(['key']))
})

test('unknown keys and garbage are refused as such', async () => {
  const keys = [...unknownKeys(20), ...garbageKeys(20)]
  expect(new Set(await Promise.all(keys.map(ask)))).toEqual(new Set(['api_key_invalid']))
})
