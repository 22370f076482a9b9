import { describe, expect, test } from 'bun:test'
import type { KeyEvent } from './events.ts'
import { internalsOf } from './internals.ts'
import { createHost, text } from './test-host.ts'

const day = 86_400_000

const setUp = (listener: (event: KeyEvent) => unknown = () => {}) => {
  const told: KeyEvent[] = []
  let now = Date.UTC(2026, 0, 1)
  const host = createHost({
    clock: () => now,
    onEvent: event => {
      told.push(event)
      return listener(event)
    },
  })
  return {
    host,
    told,
    types: () => told.map(({ type }) => type),
    pass: (milliseconds: number) => {
      now += milliseconds
    },
    settle: () => internalsOf(host.auth).stop(),
    make: async (body: object = {}) => {
      const made = await host.by('ann', 'POST', '/api-keys', { body: { name: 'ci', ...body } })
      return { id: text(made, 'id'), key: text(made, 'key') }
    },
  }
}

describe('onEvent', () => {
  test('is told who made, replaced and revoked a key, and never a secret', async () => {
    const { host, told, settle, make } = setUp()
    const { id, key } = await make({ permissions: ['notes:read'] })
    const rotated = await host.by('ann', 'POST', `/api-keys/${id}/rotate`)
    await host.by('root', 'DELETE', `/api-keys/${id}`, {}, 'admin')
    await settle()
    const common = { keyId: id, ownerId: 'usr_ann', name: 'ci', at: Date.UTC(2026, 0, 1) }
    expect(told).toEqual([
      { type: 'api_key.created', ...common, actorId: 'usr_ann' },
      { type: 'api_key.rotated', ...common, actorId: 'usr_ann', successorId: text(rotated, 'id') },
      { type: 'api_key.revoked', ...common, actorId: 'usr_root' },
    ])
    const spelled = JSON.stringify(told)
    expect(spelled).not.toContain(key.slice(-40))
    expect(spelled).not.toMatch(/argon|hash/i)
  })

  test('is told nothing of what was refused', async () => {
    const { host, types, settle, make } = setUp()
    const { id } = await make()
    await host.by('bob', 'DELETE', `/api-keys/${id}`)
    await host.by('bob', 'POST', `/api-keys/${id}/rotate`)
    await host.by('ann', 'POST', '/api-keys', { body: { name: 'ci', permissions: ['api-keys:manage'] } })
    await settle()
    expect(types()).toEqual(['api_key.created'])
  })

  test('is told of refusals to who holds the secret, and of no others', async () => {
    const { host, told, types, pass, settle, make } = setUp()
    const { id, key } = await make({ permissions: ['notes:read'], expiresAt: '2026-01-02T00:00:00Z' })
    await host.with(`${key.slice(0, -1)}x`, 'GET', '/notes')
    expect((await host.with(key, 'GET', '/notes')).status).toBe(200)
    pass(day)
    expect((await host.with(key, 'GET', '/notes')).status).toBe(403)
    await settle()
    expect(types()).toEqual(['api_key.created', 'api_key.refused'])
    expect(told.at(-1)).toMatchObject({
      type: 'api_key.refused',
      keyId: id,
      code: 'api_key_expired',
      times: 1,
    })
  })

  test('one that throws, or takes its time, changes no answer', async () => {
    const { host, types, make } = setUp(({ type }) => {
      if (type === 'api_key.created') throw new Error('a listener of somebody else')
      return new Promise(() => {})
    })
    const { id, key } = await make({ permissions: ['notes:read'] })
    expect((await host.with(key, 'GET', '/notes')).status).toBe(200)
    expect((await host.by('ann', 'DELETE', `/api-keys/${id}`)).status).toBe(204)
    expect((await host.with(key, 'GET', '/notes')).status).toBe(403)
    await Bun.sleep(5)
    expect(types()).toEqual(['api_key.created', 'api_key.revoked', 'api_key.refused'])
  })
})
