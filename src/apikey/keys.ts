import type { AuditContext } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import { allows } from '../lib/permission.ts'
import type { KeyCode } from './errors.ts'
import type { KeyChanges, KeyMaterial, KeyRecord, KeyTerms } from './key-record.ts'
import type { KeyScope, KeyStore, KeyTransfer, Transferred } from './store.ts'
import { formatKey, generateKey, publicId, startOf } from './token.ts'

/** argon2id, memory in KiB. */
export type SecretHashCost = { readonly memoryCost: number; readonly timeCost: number }

/**
 * The lowest cost that Bun takes, about 20 µs. A secret of 256 random bits can't be guessed at any speed, so its
 * hash needs pre-image resistance and no slowness, which each cold request would pay for.
 */
export const lowestCost: SecretHashCost = { memoryCost: 8, timeCost: 1 }

export type KeysOptions = {
  readonly store: KeyStore
  readonly clock: Clock
  readonly prefix: string
  readonly cost: SecretHashCost
  /** Keys that one owner may have. */
  readonly keysPerOwner: number
}

export type NewKeyInput = Partial<KeyTerms> & {
  readonly name: string
  readonly ownerId: string
  readonly permissions: string[]
  /** Milliseconds since the epoch; null for never. */
  readonly expiresAt: number | null
}

/** A key and its text, which nobody can read again. */
export type IssuedKey = { readonly key: KeyRecord; readonly text: string }

export type Keys = {
  /** `grantable` is what the owner may do now. @throws Failure `permission_not_grantable`, `api_key_limit_reached` */
  create(input: NewKeyInput, grantable: readonly string[], context: AuditContext): Promise<IssuedKey>
  /** @throws Failure `permission_not_grantable`, `api_key_not_found`, `api_key_rotated` */
  change(
    id: string,
    scope: KeyScope,
    changes: KeyChanges,
    grantable: readonly string[],
    context: AuditContext,
  ): Promise<KeyRecord>
  /** @throws Failure `api_key_not_found`, `api_key_rotated`, `api_key_inactive` */
  rotate(id: string, scope: KeyScope, graceSeconds: number, context: AuditContext): Promise<IssuedKey>
  /**
   * `grantable` is what the new owner may do now. Texts and secrets stay as they are.
   *
   * @throws Failure `api_key_not_found`, `permission_not_grantable`, `api_key_limit_reached`
   */
  transfer(
    move: Pick<KeyTransfer, 'from' | 'to' | 'keyIds'>,
    grantable: readonly string[],
    context: AuditContext,
  ): Promise<Transferred>
}

/** Who made a key when nobody is known: somebody with the database at hand, on the command line. */
export const operator = 'operator'

/** Keys that one call moves when it names none. */
const mostTransferred = 100

const unique = (permissions: readonly string[]): string[] => [...new Set(permissions)]

const checkGrantable = (permissions: readonly string[], grantable: readonly string[]): void => {
  const errors = permissions.flatMap((permission, index) =>
    allows(grantable, permission)
      ? []
      : [{ field: `permissions/${index}`, rule: 'must be within what the owner may do and give' }],
  )
  if (errors.length > 0) throw new Failure<KeyCode>('permission_not_grantable', { errors })
}

/** Makes and changes keys. Hashing happens before, never inside, a transaction of the store. */
export const createKeys = ({ store, clock, prefix, cost, keysPerOwner }: KeysOptions): Keys => {
  const issue = async (): Promise<{ material: KeyMaterial; text: string }> => {
    const parts = generateKey(prefix)
    const text = formatKey(parts)
    const secretHash = await Bun.password.hash(parts.secret, { algorithm: 'argon2id', ...cost })
    return {
      text,
      material: { id: publicId(parts.id), prefix, start: startOf(parts), last4: text.slice(-4), secretHash },
    }
  }

  return {
    create: async (input, grantable, context) => {
      checkGrantable(input.permissions, grantable)
      const { material, text } = await issue()
      const key = await store.insert(
        {
          ...material,
          ...input,
          permissions: unique(input.permissions),
          createdBy: context.actorId ?? operator,
        },
        keysPerOwner,
        context,
      )
      return { key, text }
    },

    change: async (id, scope, changes, grantable, context) => {
      const { permissions } = changes
      if (permissions === undefined) return store.update(id, scope, changes, context)
      checkGrantable(permissions, grantable)
      return store.update(id, scope, { ...changes, permissions: unique(permissions) }, context)
    },

    rotate: async (id, scope, graceSeconds, context) => {
      // Looked at before hashing, so that a stranger's id costs no hash; decided again inside the store.
      await store.find(id, scope)
      const { material, text } = await issue()
      const key = await store.rotate(id, scope, material, clock() + graceSeconds * 1_000, context)
      return { key, text }
    },

    transfer: (move, grantable, context) =>
      store.transfer({ ...move, most: mostTransferred, limit: keysPerOwner, grantable }, context),
  }
}
