import type { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { calculateJwkThumbprint, decodeProtectedHeader, generateKeyPair, SignJWT } from 'jose'
import type { AccessTokenClaims } from '../lib/jwt/claims.ts'
import { createClockedSigner } from '../lib/jwt/clocked-signer.ts'
import { createVerifier } from '../lib/jwt/verifier.ts'
import { expectAnswer } from '../lib/test-http.ts'
import { createChangeLog } from './change-log.ts'
import { createSecretKeys, loadSigningKeys, type SigningKeys } from './signing-keys.ts'
import {
  auditOf,
  createTestKeys,
  createTestLogin,
  createTime,
  issuer,
  openLoginDatabase,
  secret,
} from './test-login.ts'

const { clock } = createTime()
const claims: Omit<AccessTokenClaims, 'iat'> = {
  iss: issuer,
  sub: 'usr_1',
  aud: [issuer],
  exp: Math.floor(clock() / 1_000) + 300,
  jti: 'jti_1',
  client_id: 'latchkey-login',
}

const load = (database: Database): Promise<SigningKeys> =>
  loadSigningKeys({
    database,
    clock,
    changes: createChangeLog(database),
    toSigner: key => createClockedSigner(key, clock),
  })

const isGood = async ({ source }: SigningKeys, token: string): Promise<boolean> =>
  (await createVerifier({ keys: source, issuer, audience: issuer, clock }).verify(token)).ok

const inFolder = async (use: (path: string) => Promise<void>): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), 'login-'))
  await use(join(folder, 'login.sqlite'))
  rmSync(folder, { recursive: true })
}

describe('the key that this service keeps', () => {
  test('is made at the first start, audited, and the same after every other one', () =>
    inFolder(async path => {
      const first = openLoginDatabase(path)
      const before = await load(first)
      const token = await before.signer.sign(claims)
      const kid = before.published()[0]?.kid
      expect(auditOf(first)).toMatchObject([
        { action: 'signing_key.created', subject_id: kid, actor_id: null, at: clock() },
      ])
      first.close()

      const second = openLoginDatabase(path)
      const after = await load(second)
      expect(after.published()).toEqual(before.published())
      expect(await isGood(after, token)).toBe(true)
      expect(await isGood(before, await after.signer.sign(claims))).toBe(true)
      expect(auditOf(second)).toHaveLength(1)
      second.close()
    }))

  test('OPS-06: is one, when several processes start at once on a new file', () =>
    inFolder(async path => {
      const databases = Array.from({ length: 4 }, () => openLoginDatabase(path))
      const [first, ...others] = await Promise.all(databases.map(each => load(each)))
      if (first === undefined) throw new Error('four starts')
      const token = await first.signer.sign(claims)
      for (const other of others) {
        expect(other.published()).toEqual(first.published())
        expect(await isGood(other, token)).toBe(true)
        expect(await isGood(first, await other.signer.sign(claims))).toBe(true)
      }
      const [database] = databases
      expect(database?.query('SELECT kid FROM signing_keys').all()).toHaveLength(1)
      expect(database && auditOf(database)).toHaveLength(1)
      for (const each of databases) each.close()
    }))

  test('TOK-02: signs ES256 under its thumbprint (RFC 7638), and no two databases have the same', async () => {
    const [one, other] = await Promise.all([load(openLoginDatabase()), load(openLoginDatabase())])
    const [published] = one.published()
    if (published === undefined) throw new Error('a published key')
    expect(published.kid).toBe(await calculateJwkThumbprint(published))
    expect(published.kid).not.toBe(other.published()[0]?.kid)
    const token = await one.signer.sign(claims)
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'ES256', kid: published.kid, typ: 'at+jwt' })
    expect(await isGood(other, token)).toBe(false)
  })

  test('TOK-04: is found by its kid and no other, nor without one', async () => {
    const { published, source } = await load(openLoginDatabase())
    const kid = published()[0]?.kid ?? ''
    expect(await source.find(kid)).toMatchObject({ algorithm: 'ES256' })
    for (const other of [undefined, '', `${kid} `, kid.toLowerCase(), '__proto__', 'constructor', '../key']) {
      expect(await source.find(other)).toBeNull()
    }
  })

  test('TOK-01: another key under the same kid signs nothing that is taken', async () => {
    const keys = await load(openLoginDatabase())
    const { privateKey } = await generateKeyPair('ES256')
    const sign = (header: { kid?: string }) =>
      new SignJWT({ ...claims, iat: 1 })
        .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', ...header })
        .sign(privateKey)
    const kid = keys.published()[0]?.kid ?? ''
    for (const header of [{ kid }, { kid: 'another' }, {}]) {
      expect(await isGood(keys, await sign(header))).toBe(false)
    }
  })
})

describe('TOK-14: the key set', () => {
  const publicMembers = ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']

  test('holds public members only, is typed as a key set, and may be kept for five minutes', async () => {
    const database = openLoginDatabase()
    const signingKeys = await load(database)
    const stored = database.query<{ private_jwk: string }, []>('SELECT private_jwk FROM signing_keys').get()
    const [, secretPart = 'none'] = /"d":"([A-Za-z0-9_-]{43})"/.exec(stored?.private_jwk ?? '') ?? []
    expect(secretPart).toHaveLength(43)

    const { send } = createTestLogin({ database, signingKeys })
    const answer = await send('GET', '/.well-known/jwks.json')
    expectAnswer(answer, {
      status: 200,
      lacks: ['"d"', secretPart],
      headers: { 'content-type': 'application/jwk-set+json', 'cache-control': 'public, max-age=300' },
    })
    expect(answer.json()).toEqual({ keys: [...signingKeys.published()] })
    expect(signingKeys.published().map(key => Object.keys(key).toSorted())).toEqual([publicMembers])
    expect(signingKeys.published()).toMatchObject([{ kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig' }])
  })

  test('leaves a private member out even where the public half of the row has one', async () => {
    const database = openLoginDatabase()
    await load(database)
    database.run('UPDATE signing_keys SET public_jwk = private_jwk')
    database.run(
      `UPDATE signing_keys SET public_jwk = json_set(private_jwk, '$.kid', kid, '$.alg', 'ES256', '$.use', 'sig')`,
    )
    const { published } = await load(database)
    expect(published().map(key => Object.keys(key).toSorted())).toEqual([publicMembers])
  })

  test('is empty where a secret is shared: it is never published', async () => {
    const { send, lines } = createTestLogin({ signingKeys: createSecretKeys(secret) })
    const answer = await send('GET', '/.well-known/jwks.json')
    expectAnswer(answer, { status: 200, lacks: [secret] })
    expect(answer.json()).toEqual({ keys: [] })
    expect(lines.join()).not.toContain(secret)
  })
})

describe('a shared secret', () => {
  test('TOK-02: signs HS256 without a kid, and is found for tokens that name none', async () => {
    const keys = createTestKeys(clock)
    const token = await keys.signer.sign(claims)
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'HS256', typ: 'at+jwt' })
    expect(await isGood(keys, token)).toBe(true)
    expect(await isGood(createSecretKeys(`${secret}!`), token)).toBe(false)
    expect(await keys.source.find('some')).toBeNull()
    expect(await keys.source.find('')).toBeNull()
  })
})
