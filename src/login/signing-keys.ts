import type { Database } from 'bun:sqlite'
import { Value } from '@sinclair/typebox/value'
import { asc, desc, eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose'
import { type AuditContext, bySystem } from '../lib/audit.ts'
import { changeTypes } from '../lib/changes-schema.ts'
import type { Clock } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import { PublicJwk } from '../lib/jwt/jwks.ts'
import { createSigner, type Signer } from '../lib/jwt/signer.ts'
import { createSecretSource, type KeySource, type VerificationKey } from '../lib/jwt/verifier.ts'
import { retryBusy } from '../lib/sqlite.ts'
import type { UserTransaction } from '../userdb/index.ts'
import { writeAudit } from './audit.ts'
import type { ChangeLog } from './change-log.ts'
import type { LoginCode } from './errors.ts'
import { signingKeys } from './schema.ts'

/** A key as it is shown: nothing private. Times are milliseconds since the epoch. */
export type SigningKeyEntry = {
  readonly kid: string
  readonly algorithm: 'ES256'
  readonly state: 'active' | 'revoked'
  readonly createdAt: number
  readonly revokedAt: number | null
}

/** What signs tokens, what verifies them, and what the world is told (RFC 7517): each as it is now. */
export type SigningKeys = {
  readonly signer: Signer
  readonly source: KeySource
  published(): readonly PublicJwk[]
  /** The newest first, at most 200. */
  list(): SigningKeyEntry[]
  /**
   * Nothing that this key signed is good from now on, and another one signs. A second time changes nothing.
   *
   * @throws Failure `signing_key_not_found`, `unavailable`.
   */
  revoke(kid: string, context: AuditContext): Promise<SigningKeyEntry>
}

const notFound = () => new Failure<LoginCode>('signing_key_not_found')

/** A shared secret, as HS256. There is nothing to publish, nor to revoke: it is changed where it is configured. */
export const createSecretKeys = (secret: string): SigningKeys => ({
  signer: createSigner({ algorithm: 'HS256', kid: null, secret }),
  source: createSecretSource(secret),
  published: () => [],
  list: () => [],
  revoke: async () => {
    throw notFound()
  },
})

const parsePublic = (json: string): PublicJwk => Value.Parse(PublicJwk, JSON.parse(json))

const importKey = async (jwk: JWK): Promise<CryptoKey> => {
  const key = await importJWK(jwk, 'ES256')
  if (key instanceof Uint8Array) throw new Error('A stored signing key is not an EC key')
  return key
}

/** A new key pair, as a row. `kid` is the key's thumbprint (RFC 7638). */
const generate = async (clock: Clock) => {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
  const publicJwk = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(publicJwk)
  return {
    kid,
    algorithm: 'ES256',
    state: 'active',
    publicJwk: JSON.stringify({ ...publicJwk, kid, alg: 'ES256', use: 'sig' }),
    privateJwk: JSON.stringify(await exportJWK(privateKey)),
    createdAt: clock(),
  } as const
}

const entryColumns = {
  kid: signingKeys.kid,
  algorithm: signingKeys.algorithm,
  state: signingKeys.state,
  createdAt: signingKeys.createdAt,
  revokedAt: signingKeys.revokedAt,
}

export type SigningKeysOptions = {
  readonly database: Database
  readonly clock: Clock
  readonly changes: Pick<ChangeLog, 'append'>
  /** How a key becomes a signer; tests have a clock of their own. */
  readonly toSigner?: typeof createSigner
}

/**
 * The ES256 key pairs that this service keeps in its database; the first is made at the first start. Which one is
 * active is asked of the database at each use, since another process may have revoked one a moment ago.
 */
export const loadSigningKeys = async ({
  database,
  clock,
  changes,
  toSigner = createSigner,
}: SigningKeysOptions): Promise<SigningKeys> => {
  const db = drizzle({ client: database })
  const selectActive = db
    .select()
    .from(signingKeys)
    .where(eq(signingKeys.state, 'active'))
    .orderBy(asc(signingKeys.createdAt))
    .prepare()
  const selectByKid = db
    .select({ state: signingKeys.state, publicJwk: signingKeys.publicJwk })
    .from(signingKeys)
    .where(eq(signingKeys.kid, sql.placeholder('kid')))
    .prepare()

  const insert = (tx: UserTransaction, row: Awaited<ReturnType<typeof generate>>, context: AuditContext) => {
    tx.insert(signingKeys).values(row).run()
    writeAudit(tx, { at: row.createdAt, action: 'signing_key.created', subjectId: row.kid }, context)
  }

  if (selectActive.get() === undefined) {
    const row = await generate(clock)
    await retryBusy(() =>
      db.transaction(
        tx => {
          // Another process may have been first on the same file.
          if (selectActive.get() === undefined) insert(tx, row, bySystem)
        },
        { behavior: 'immediate' },
      ),
    )
  }

  // What was imported, by kid: whether it is good is for the database to say.
  const verificationKeys = new Map<string, VerificationKey>()
  let lastSigner: { readonly kid: string; readonly signer: Signer } | null = null

  const active = () => {
    const row = selectActive.get()
    if (row === undefined) throw new Error('The database has no active signing key')
    return row
  }

  const signerNow = async (): Promise<Signer> => {
    const { kid, privateJwk } = active()
    if (lastSigner?.kid === kid) return lastSigner.signer
    const privateKey = await importKey(JSON.parse(privateJwk))
    const signer = toSigner({ algorithm: 'ES256', kid, privateKey })
    lastSigner = { kid, signer }
    return signer
  }

  const entryOf = (tx: UserTransaction, kid: string): SigningKeyEntry => {
    const entry = tx.select(entryColumns).from(signingKeys).where(eq(signingKeys.kid, kid)).get()
    if (entry === undefined) throw notFound()
    return entry
  }

  return {
    signer: { sign: async claims => (await signerNow()).sign(claims) },

    source: {
      find: async kid => {
        if (kid === undefined) return null
        const row = selectByKid.get({ kid })
        if (row?.state !== 'active') return null
        const known = verificationKeys.get(kid)
        if (known !== undefined) return known
        const key = { algorithm: 'ES256', key: await importKey(parsePublic(row.publicJwk)) } as const
        verificationKeys.set(kid, key)
        return key
      },
    },

    published: () => selectActive.all().map(({ publicJwk }) => parsePublic(publicJwk)),

    list: () =>
      db
        .select(entryColumns)
        .from(signingKeys)
        .orderBy(desc(signingKeys.createdAt), signingKeys.kid)
        .limit(200)
        .all(),

    revoke: async (kid, context) => {
      if (db.transaction(tx => entryOf(tx, kid)).state === 'revoked') {
        return db.transaction(tx => entryOf(tx, kid))
      }
      const successor = await generate(clock)
      return retryBusy(() =>
        db.transaction(
          tx => {
            if (entryOf(tx, kid).state === 'revoked') return entryOf(tx, kid)
            const at = clock()
            tx.update(signingKeys)
              // Its private half is of use to nobody any more.
              .set({ state: 'revoked', revokedAt: at, privateJwk: '{}' })
              .where(eq(signingKeys.kid, kid))
              .run()
            writeAudit(tx, { at, action: 'signing_key.revoked', subjectId: kid }, context)
            changes.append(tx, [{ type: changeTypes.signingKeyRevoked, at, subjectId: kid }])
            if (selectActive.get() === undefined) insert(tx, successor, context)
            return entryOf(tx, kid)
          },
          { behavior: 'immediate' },
        ),
      )
    },
  }
}
