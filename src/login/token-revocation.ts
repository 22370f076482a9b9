import type { Database } from 'bun:sqlite'
import { asc, eq, inArray, lt, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import type { AuditContext } from '../lib/audit.ts'
import { changeTypes } from '../lib/changes-schema.ts'
import type { Clock } from '../lib/clock.ts'
import { retryBusy } from '../lib/sqlite.ts'
import { writeAudit } from './audit.ts'
import type { ChangeLog } from './change-log.ts'
import { revokedTokens } from './schema.ts'

/** How long a row outlives its token, milliseconds: clocks of services differ, and snapshots take their time. */
const keptMilliseconds = 3_600_000
/** Rows that one revocation clears away, so that none takes long. */
const clearedAtOnce = 100

/** Access tokens that were revoked before they expired, by `jti`: the text of a token has several spellings. */
export type TokenRevocation = {
  isRevoked(tokenId: string): Promise<boolean>
  /** Does nothing a second time. `expiresAt` is when nobody takes the token any more, milliseconds since the epoch. */
  revoke(
    token: { readonly tokenId: string; readonly subjectId: string; readonly expiresAt: number },
    context: AuditContext,
  ): Promise<void>
}

export type TokenRevocationOptions = {
  readonly database: Database
  readonly clock: Clock
  readonly changes: Pick<ChangeLog, 'append'>
}

export const createTokenRevocation = ({
  database,
  clock,
  changes,
}: TokenRevocationOptions): TokenRevocation => {
  const db = drizzle({ client: database })
  const byId = db
    .select({ id: revokedTokens.id })
    .from(revokedTokens)
    .where(eq(revokedTokens.id, sql.placeholder('id')))
    .prepare()

  return {
    isRevoked: async tokenId => byId.get({ id: tokenId }) !== undefined,

    revoke: ({ tokenId, subjectId, expiresAt }, context) =>
      retryBusy(() =>
        db.transaction(
          tx => {
            if (byId.get({ id: tokenId }) !== undefined) return
            const at = clock()
            const old = tx
              .select({ id: revokedTokens.id })
              .from(revokedTokens)
              .where(lt(revokedTokens.expiresAt, at - keptMilliseconds))
              .orderBy(asc(revokedTokens.expiresAt))
              .limit(clearedAtOnce)
            tx.delete(revokedTokens).where(inArray(revokedTokens.id, old)).run()
            tx.insert(revokedTokens).values({ id: tokenId, expiresAt }).run()
            writeAudit(tx, { at, action: 'token.revoked', subjectId, detail: { tokenId } }, context)
            changes.append(tx, [{ type: changeTypes.tokenRevoked, at, subjectId, tokenId, expiresAt }])
          },
          { behavior: 'immediate' },
        ),
      ),
  }
}
