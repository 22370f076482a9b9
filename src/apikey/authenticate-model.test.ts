import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { bySystem } from '../lib/audit.ts'
import { changeTypes } from '../lib/changes-schema.ts'
import { until } from '../lib/test-feed-server.ts'
import type { KeyStore } from './store.ts'
import { type CachedHost, createCachedHost, machine, type Presented, people } from './test-cached-host.ts'

/** What happens to one of the credentials, or around them. */
type Step =
  | { readonly kind: 'make' | 'revoke' | 'disable' | 'enable' | 'transfer'; readonly at: number }
  | { readonly kind: 'permissions'; readonly at: number; readonly given: readonly string[] }
  | { readonly kind: 'rotate'; readonly at: number; readonly graceSeconds: number }
  | { readonly kind: 'expire'; readonly at: number; readonly milliseconds: number }
  | { readonly kind: 'elsewhere'; readonly at: number; readonly what: 'revoke' | 'disable' | 'enable' }
  | { readonly kind: 'owner'; readonly at: number; readonly status: 'active' | 'disabled' }
  | { readonly kind: 'roles'; readonly at: number; readonly roles: readonly string[] }
  | { readonly kind: 'session'; readonly at: number }
  | { readonly kind: 'pass'; readonly milliseconds: number }

const at = fc.nat({ max: 20 })
const kind = <Kind extends string>(name: Kind) => fc.constant(name)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom('make', 'revoke', 'disable', 'enable', 'transfer'), at }),
  fc.record({
    kind: kind('permissions'),
    at,
    given: fc.subarray(['notes:read', 'notes:write', 'notes:*']),
  }),
  fc.record({ kind: kind('rotate'), at, graceSeconds: fc.constantFrom(0, 1, 60) }),
  fc.record({ kind: kind('expire'), at, milliseconds: fc.constantFrom(1, 2, 500, 60_000) }),
  fc.record({ kind: kind('elsewhere'), at, what: fc.constantFrom('revoke', 'disable', 'enable') }),
  fc.record({ kind: kind('owner'), at, status: fc.constantFrom('active', 'disabled') }),
  fc.record({ kind: kind('roles'), at, roles: fc.subarray(['user', 'reader', 'admin']) }),
  fc.record({ kind: kind('session'), at }),
  fc.record({ kind: kind('pass'), milliseconds: fc.constantFrom(1, 25, 499, 1_000, 30_000, 59_999) }),
)

const owners = [...people, machine]
const sessions = ['ses_1', 'ses_2']
const all = 'all'

const turn = <Item>(items: readonly Item[], index: number): Item => {
  const item = items[index % items.length]
  if (item === undefined) throw new Error('There is nothing to choose from')
  return item
}

/** Each may be refused for what happened before: then nothing has changed. */
const attempt = (change: Promise<unknown>): Promise<unknown> => change.catch(() => undefined)

const change = (store: KeyStore, id: string, what: 'revoke' | 'disable' | 'enable'): Promise<unknown> =>
  attempt(
    what === 'revoke'
      ? store.revoke(id, all, bySystem)
      : store.update(id, all, { enabled: what === 'enable' }, bySystem),
  )

const take = async (host: CachedHost, presented: Presented[], one: Step): Promise<void> => {
  const { keys, store, login, followed, time } = host
  const grantable = ['notes:*']
  if (one.kind === 'pass') {
    time.now += one.milliseconds
    return
  }
  const subjectId = turn(owners, one.at)
  if (one.kind === 'make') {
    presented.push(await host.makeKey(subjectId, ['notes:read', 'notes:write']))
    return
  }
  if (one.kind === 'owner' || one.kind === 'roles') {
    const { sequence } = login.setState(
      subjectId,
      one.kind === 'owner' ? { status: one.status } : { roles: [...one.roles] },
    )
    const wanted = JSON.stringify(login.subjects.get(subjectId))
    await until(() => {
      const { status, roles, scopes } = followed.find(subjectId) ?? {}
      return sequence > 0 && JSON.stringify({ status, roles, scopes }) === wanted
    })
    return
  }
  if (one.kind === 'session') {
    const sessionId = turn(sessions, one.at)
    login.change({ type: changeTypes.sessionRevoked, subjectId: 'usr_ann', sessionId })
    await until(() => followed.isEnded(sessionId))
    return
  }
  const { keyId } = turn(
    presented.filter(each => each.keyId !== null),
    one.at,
  )
  if (keyId === null) return
  if (one.kind === 'elsewhere') {
    await change(host.elsewhere, keyId, one.what)
    await host.noticed()
  } else if (one.kind === 'permissions') {
    await attempt(keys.change(keyId, all, { permissions: [...one.given] }, grantable, bySystem))
  } else if (one.kind === 'expire') {
    const expiresAt = time.now + one.milliseconds
    await attempt(keys.change(keyId, all, { expiresAt }, grantable, bySystem))
  } else if (one.kind === 'rotate') {
    const rotated = await keys.rotate(keyId, all, one.graceSeconds, bySystem).catch(() => null)
    if (rotated !== null) presented.push({ headers: { 'x-api-key': rotated.text }, keyId: rotated.key.id })
  } else if (one.kind === 'transfer') {
    const from = await store.find(keyId, all).catch(() => null)
    if (from === null) return
    const to = turn(
      owners.filter(id => id !== from.ownerId),
      one.at,
    )
    await attempt(keys.transfer({ from: from.ownerId, to, keyIds: [keyId] }, grantable, bySystem))
  } else {
    await change(store, keyId, one.kind)
  }
}

/** Room for all there is, and for less. */
const capacities = [1_000, 3]

test.each(capacities)(
  'with a memory for %d whatever happens in whatever order is answered as without any',
  async cacheEntries => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 20 }), async steps => {
        const host = await createCachedHost({ cacheEntries })
        try {
          const presented: Presented[] = [
            await host.makeKey('usr_ann'),
            await host.makeKey('usr_eve', ['notes:read', 'notes:write']),
            await host.makeKey(machine),
            await host.makeToken('usr_ann', { sid: 'ses_1' }),
            await host.makeToken('usr_ann', { sid: 'ses_2', seconds: 300 }),
            await host.makeToken('usr_eve', { seconds: 1 }),
            await host.makeToken(machine),
          ]
          const compare = async (): Promise<void> => {
            for (const one of presented) expect(await host.judged(one)).toEqual(await host.truth(one))
          }
          await compare()
          for (const one of steps) {
            await take(host, presented, one)
            await compare()
          }
        } finally {
          await host.end()
        }
      }),
      { numRuns: 12 },
    )
  },
  20_000,
)
