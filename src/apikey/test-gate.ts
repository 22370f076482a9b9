import { bySystem } from '../lib/audit.ts'
import { createClockedSigner } from '../lib/jwt/clocked-signer.ts'
import { createSecretSource, createVerifier } from '../lib/jwt/verifier.ts'
import { createVerifiedCache } from '../lib/verified-cache.ts'
import { createAuthenticate, type Remembered } from './authenticate.ts'
import type { Authentication } from './judgement.ts'
import { createKeys, lowestCost } from './keys.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { openKeyDatabase } from './test-store.ts'

const issuer = 'http://login.test'
const audience = 'notes'
const secret = 'a shared secret of 32 bytes, and then some'
const roles = { user: ['notes:read', 'notes:write'] } as const
const permissions = ['notes:read', 'notes:write']

/** Lets look-ups into a database read, and holds what they have read until it is told to let go. */
export const createGate = (store: Pick<KeyStore, 'findCredential'>) => {
  const held: (() => void)[] = []
  let isClosed = false
  let reads = 0
  let arrival = Promise.withResolvers<void>()
  return {
    findCredential: async (id: string) => {
      reads += 1
      const found = await store.findCredential(id)
      if (!isClosed) return found
      await new Promise<void>(resolve => {
        held.push(resolve)
        arrival.resolve()
        arrival = Promise.withResolvers()
      })
      return found
    },
    get reads() {
      return reads
    },
    close: (): void => {
      isClosed = true
    },
    /** Waits until so many have read and are held. */
    arrived: async (count: number): Promise<void> => {
      while (held.length < count) await arrival.promise
    },
    /** Lets one go that is held: the first is 0. */
    letGo: (index: number): void => held[index]?.(),
    /** Lets all go, and whoever comes after. */
    open: (): void => {
      isClosed = false
      for (const go of held) go()
    },
  }
}

/** Judgement with a memory, on a database of its own and by a clock in the hand of the test; no feed is followed. */
export const createGated = ({ maxEntries = 1_000 }: { readonly maxEntries?: number } = {}) => {
  const time = { now: 1_800_000_000_000 }
  const clock = (): number => time.now
  const database = openKeyDatabase()
  const store = createSqliteKeyStore({ database, clock })
  const keys = createKeys({ store, clock, prefix: 'lk', cost: lowestCost, keysPerOwner: 1_000 })
  const gate = createGate(store)
  const cache = createVerifiedCache<Remembered>(maxEntries)
  const watch = store.watch(ids => {
    if (ids === null) cache.clear()
    else for (const id of ids) cache.evict(id)
  })
  const verifier = createVerifier({ keys: createSecretSource(secret), issuer, audience, clock })
  let verifications = 0
  const common = { roles, prefix: 'lk', clock }
  const counted = {
    verify: (token: string) => {
      verifications += 1
      return verifier.verify(token)
    },
  }
  const remembering = createAuthenticate({ ...common, store: gate, verifier: counted, cache })
  const plain = createAuthenticate({ ...common, store, verifier })
  const signer = createClockedSigner({ algorithm: 'HS256', kid: null, secret }, clock)
  const anybody = { jwtOnly: false }
  const keyHeaders = (text: string) => new Headers({ 'x-api-key': text })

  return {
    time,
    store,
    keys,
    gate,
    cache,
    /** What another process would do to the same file. */
    elsewhere: createSqliteKeyStore({ database, clock }),
    /** Until it is asked for, nothing that was done elsewhere is known here. */
    catchUp: () => watch.catchUp(),
    get verifications() {
      return verifications
    },
    makeKey: async (expiresAt: number | null = null) => {
      const made = { name: 'test', ownerId: 'usr_ann', permissions, expiresAt }
      const { key, text } = await keys.create(made, permissions, { ...bySystem, actorId: 'usr_ann' })
      return { id: key.id, text, headers: keyHeaders(text) }
    },
    keyHeaders,
    /** @param exp seconds since the epoch. */
    makeToken: async (exp: number): Promise<Headers> => {
      const token = await signer.sign({
        iss: issuer,
        sub: 'usr_ann',
        aud: audience,
        exp,
        jti: crypto.randomUUID(),
        client_id: 'latchkey-login',
        roles: ['user'],
      })
      return new Headers({ authorization: `Bearer ${token}` })
    },
    judge: async (headers: Headers): Promise<Authentication> => remembering(headers, anybody),
    /** The same without any memory. */
    truth: async (headers: Headers): Promise<Authentication> => plain(headers, anybody),
    end: () => database.close(),
  }
}

export type Gated = ReturnType<typeof createGated>
