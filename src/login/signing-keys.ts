import type { Database } from 'bun:sqlite'
import { Value } from '@sinclair/typebox/value'
import { asc, eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose'
import { bySystem } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import { PublicJwk } from '../lib/jwt/jwks.ts'
import { createSigner, type Signer } from '../lib/jwt/signer.ts'
import { createSecretSource, type KeySource, type VerificationKey } from '../lib/jwt/verifier.ts'
import { retryBusy } from '../lib/sqlite.ts'
import { writeAudit } from './audit.ts'
import { signingKeys } from './schema.ts'

/** What signs tokens, what verifies them, and what the world is told (RFC 7517). */
export type SigningKeys = {
  readonly signer: Signer
  readonly source: KeySource
  readonly published: readonly PublicJwk[]
}

/** A shared secret, as HS256. There is nothing to publish. */
export const createSecretKeys = (secret: string): SigningKeys => ({
  signer: createSigner({ algorithm: 'HS256', kid: null, secret }),
  source: createSecretSource(secret),
  published: [],
})

const parsePublic = (json: string): PublicJwk => Value.Parse(PublicJwk, JSON.parse(json))

const importKey = async (jwk: JWK): Promise<CryptoKey> => {
  const key = await importJWK(jwk, 'ES256')
  if (key instanceof Uint8Array) throw new Error('A stored signing key is not an EC key')
  return key
}

/**
 * The ES256 key pair that this service keeps in its database; made at the first start. `kid` is the key's thumbprint
 * (RFC 7638).
 */
export const loadSigningKeys = async (database: Database, clock: Clock): Promise<SigningKeys> => {
  const db = drizzle({ client: database })
  const active = () =>
    db
      .select()
      .from(signingKeys)
      .where(eq(signingKeys.state, 'active'))
      .orderBy(asc(signingKeys.createdAt))
      .get()

  if (active() === undefined) {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
    const publicJwk = await exportJWK(publicKey)
    const kid = await calculateJwkThumbprint(publicJwk)
    const row = {
      kid,
      algorithm: 'ES256',
      state: 'active',
      publicJwk: JSON.stringify({ ...publicJwk, kid, alg: 'ES256', use: 'sig' }),
      privateJwk: JSON.stringify(await exportJWK(privateKey)),
      createdAt: clock(),
    } as const
    await retryBusy(() =>
      db.transaction(
        tx => {
          // Another process may have been first on the same file.
          if (tx.select().from(signingKeys).get() !== undefined) return
          tx.insert(signingKeys).values(row).run()
          writeAudit(tx, { at: clock(), action: 'signing_key.created', subjectId: kid }, bySystem)
        },
        { behavior: 'immediate' },
      ),
    )
  }

  const key = active()
  if (key === undefined) throw new Error('The database has no active signing key')
  const publicJwk = parsePublic(key.publicJwk)
  const verification: VerificationKey = { algorithm: 'ES256', key: await importKey(publicJwk) }
  const keys = new Map([[key.kid, verification]])
  return {
    signer: createSigner({
      algorithm: 'ES256',
      kid: key.kid,
      privateKey: await importKey(JSON.parse(key.privateJwk)),
    }),
    source: { find: async kid => (kid === undefined ? null : (keys.get(kid) ?? null)) },
    published: [publicJwk],
  }
}
