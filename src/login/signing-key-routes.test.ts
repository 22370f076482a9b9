import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeProtectedHeader } from 'jose'
import { bySystem } from '../lib/audit.ts'
import { changeTypes } from '../lib/changes-schema.ts'
import type { AccessTokenClaims } from '../lib/jwt/claims.ts'
import { createClockedSigner } from '../lib/jwt/clocked-signer.ts'
import { createVerifier } from '../lib/jwt/verifier.ts'
import { contractOf, expectAnswer } from '../lib/test-http.ts'
import { createChangeLog } from './change-log.ts'
import { loadSigningKeys, type SigningKeys } from './signing-keys.ts'
import { changeRows } from './test-feed.ts'
import { createPeople, createTestLogin, createTime, issuer, openLoginDatabase } from './test-login.ts'

const { clock } = createTime()
const load = (database: Database): Promise<SigningKeys> =>
  loadSigningKeys({
    database,
    clock,
    changes: createChangeLog(database),
    toSigner: key => createClockedSigner(key, clock),
  })

const claims: Omit<AccessTokenClaims, 'iat'> = {
  iss: issuer,
  sub: 'usr_1',
  aud: [issuer],
  exp: Math.floor(clock() / 1_000) + 300,
  jti: 'jti_1',
  client_id: 'latchkey-login',
}
const isGood = async ({ source }: SigningKeys, token: string): Promise<boolean> =>
  (await createVerifier({ keys: source, issuer, audience: issuer, clock }).verify(token)).ok
const kidsOf = ({ published }: SigningKeys): string[] => published().map(({ kid }) => kid)

describe('revoking a signing key', () => {
  let database: Database
  let keys: SigningKeys
  let kid: string
  beforeEach(async () => {
    database = openLoginDatabase()
    keys = await load(database)
    kid = kidsOf(keys)[0] ?? ''
  })
  afterEach(() => database.close())

  test('makes nothing good that it signed, publishes it no more, and another one signs at once', async () => {
    const before = await keys.signer.sign(claims)
    expect(await isGood(keys, before)).toBe(true)
    expect(await keys.revoke(kid, bySystem)).toMatchObject({ kid, state: 'revoked', revokedAt: clock() })
    expect(await isGood(keys, before)).toBe(false)
    const after = await keys.signer.sign(claims)
    expect(decodeProtectedHeader(after).kid).not.toBe(kid)
    expect(await isGood(keys, after)).toBe(true)
    expect(kidsOf(keys)).toEqual([decodeProtectedHeader(after).kid ?? ''])
  })

  test('is told the feed and audited in the same transaction, and its private half is gone', async () => {
    await keys.revoke(kid, { ...bySystem, actorId: 'usr_root' })
    expect(changeRows(database)).toMatchObject([
      { type: changeTypes.signingKeyRevoked, subjectId: kid, state: null, sessionId: null, tokenId: null },
    ])
    const actions = database
      .query("SELECT action, subject_id, actor_id FROM login_audit WHERE actor_id = 'usr_root'")
      .values()
    expect(actions).toEqual([
      ['signing_key.revoked', kid, 'usr_root'],
      ['signing_key.created', kidsOf(keys)[0] ?? '', 'usr_root'],
    ])
    expect(database.query('SELECT private_jwk FROM signing_keys WHERE kid = ?').values(kid)).toEqual([['{}']])
  })

  test('where the feed can not be written, it stays', async () => {
    const token = await keys.signer.sign(claims)
    database.run('ALTER TABLE changes RENAME TO changes_gone')
    await expect(keys.revoke(kid, bySystem)).rejects.toThrow('changes')
    expect(kidsOf(keys)).toEqual([kid])
    expect(await isGood(keys, token)).toBe(true)
  })

  test('a second time changes nothing, and 10 at once make one new key', async () => {
    const all = await Promise.all(Array.from({ length: 10 }, () => keys.revoke(kid, bySystem)))
    expect(new Set(all.map(({ state }) => state))).toEqual(new Set(['revoked']))
    const rows = () => [changeRows(database).length, keys.list().length]
    expect(rows()).toEqual([1, 2])
    await keys.revoke(kid, bySystem)
    expect(rows()).toEqual([1, 2])
  })

  test('stays so after a restart', async () => {
    const token = await keys.signer.sign(claims)
    await keys.revoke(kid, bySystem)
    const again = await load(database)
    expect(kidsOf(again)).toEqual(kidsOf(keys))
    expect(await isGood(again, token)).toBe(false)
  })

  test('by another process on the same file counts here at once', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'keys-'))
    const [one, other] = [1, 2].map(() => openLoginDatabase(join(folder, 'login.sqlite')))
    if (!one || !other) throw new Error('two connections')
    const [mine, theirs] = [await load(one), await load(other)]
    const token = await mine.signer.sign(claims)
    expect(await isGood(mine, token)).toBe(true)
    await theirs.revoke(kidsOf(theirs)[0] ?? '', bySystem)
    expect(await isGood(mine, token)).toBe(false)
    expect(await isGood(theirs, await mine.signer.sign(claims))).toBe(true)
    expect(kidsOf(mine)).toEqual(kidsOf(theirs))
    one.close()
    other.close()
    rmSync(folder, { recursive: true })
  })
})

describe('/signing-keys', () => {
  const setUp = async () => {
    const database = openLoginDatabase()
    const signingKeys = await load(database)
    const login = createTestLogin({ database, signingKeys })
    return { login, signingKeys, people: await createPeople(login), kid: kidsOf(signingKeys)[0] ?? '' }
  }

  test('lists kid, algorithm, state and times, and nothing of the key itself', async () => {
    const { login, people, kid } = await setUp()
    const answer = await people.send('root GET /signing-keys')
    expectAnswer(answer, { status: 200, lacks: ['"d"', '"x"', 'private'] })
    expect(answer.json()).toEqual({
      items: [
        {
          kid,
          algorithm: 'ES256',
          state: 'active',
          createdAt: new Date(clock()).toISOString(),
          revokedAt: null,
        },
      ],
    })
    login.database.close()
  })

  test('revoking one refuses whoever holds a token of it, the administrator too, who signs in again', async () => {
    const { login, people, kid } = await setUp()
    const answer = await people.send(`root POST /signing-keys/${kid}/revoke`)
    expectAnswer(answer, { status: 200, has: ['"revoked"', kid] })
    expectAnswer(await people.send('root GET /signing-keys'), contractOf('401 token_invalid'))
    expectAnswer(await people.send('ann GET /users/me'), contractOf('401 token_invalid'))
    const set = await login.send('GET', '/.well-known/jwks.json')
    expectAnswer(set, { status: 200, lacks: [kid] })
    const headers = await login.as('root@example.com')
    const list = await login.send('GET', '/signing-keys', { headers })
    expect(list.json()).toMatchObject({ items: [{ kid: expect.any(String) }, { kid: expect.any(String) }] })
    login.database.close()
  })

  test('an unknown one is 404, as every one is where a secret is shared', async () => {
    const { login, people } = await setUp()
    expectAnswer(
      await people.send('root POST /signing-keys/unknown/revoke'),
      contractOf('404 signing_key_not_found'),
    )
    login.database.close()
    const shared = createTestLogin()
    const others = await createPeople(shared)
    expect((await others.send('root GET /signing-keys')).json()).toEqual({ items: [] })
    expectAnswer(
      await others.send('root POST /signing-keys/unknown/revoke'),
      contractOf('404 signing_key_not_found'),
    )
    shared.database.close()
  })

  test('is for administrators, and does nothing for others', async () => {
    const { login, people, signingKeys, kid } = await setUp()
    for (const request of ['GET /signing-keys', `POST /signing-keys/${kid}/revoke`]) {
      expectAnswer(await people.send(`ann ${request}`), contractOf('403 insufficient_permission'))
      const [method = '', path = ''] = request.split(' ')
      expectAnswer(await login.send(method, path), contractOf('400 credential_missing'))
    }
    expect(kidsOf(signingKeys)).toEqual([kid])
    login.database.close()
  })
})
