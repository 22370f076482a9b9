import { type Static, Type } from '@sinclair/typebox'
import { idPattern } from '../lib/id.ts'

/** The one role that this library knows: its last active holder can't be deleted, disabled or demoted. */
export const adminRole = 'admin'

/** What a new user gets when nobody says otherwise. */
export const defaultRoles: readonly string[] = ['user']

export const RoleName = Type.String({ pattern: '^[a-z][a-z0-9-]{0,39}$' })

/** Role names, each once, at most 16. */
export const Roles = Type.Array(RoleName, { maxItems: 16, uniqueItems: true })

// Neither control characters, line separators, nor those that turn the direction of the text around them
// (Unicode UAX 9: LRE to RLO, LRI to PDI). JSON Schema counts UTF-16 units and TypeBox sets no `u` flag, so
// surrogates are spelled out: only a pair counts, and it counts once.
const namePoint = String.raw`(?:[\uD800-\uDBFF][\uDC00-\uDFFF]|[^\u0000-\u001F\u007F-\u009F\u2028-\u202E\u2066-\u2069\uD800-\uDFFF])`

/** 1 to 100 code points, not all of them white space. */
export const DisplayName = Type.String({ pattern: String.raw`^(?=.*\S)${namePoint}{1,100}$` })

/** An email address as somebody writes it; `normalizeEmail` judges it. */
export const EmailInput = Type.String({ minLength: 3, maxLength: 254 })

/** The most that a password may have, code points of its NFC form. */
export const maximumPasswordLength = 256

/**
 * A password as somebody writes it. The bound is coarse, in UTF-16 units, and keeps megabytes away from the
 * hash; the policy judges a new password by its code points.
 */
export const PasswordInput = Type.String({ minLength: 1, maxLength: 4 * maximumPasswordLength })

export const UserStatus = Type.Union([Type.Literal('active'), Type.Literal('disabled')])
export type UserStatus = Static<typeof UserStatus>

/** A user as it is shown: the password's hash is never in it. */
export const User = Type.Object(
  {
    id: Type.String({ pattern: idPattern('usr') }),
    /** Normalised, and unique in that form. */
    email: Type.String(),
    displayName: Type.Union([DisplayName, Type.Null()]),
    /** In alphabetical order. */
    roles: Roles,
    status: UserStatus,
    /** Milliseconds since the epoch. */
    createdAt: Type.Integer(),
    /** Milliseconds since the epoch. */
    updatedAt: Type.Integer(),
  },
  { additionalProperties: false },
)
export type User = Static<typeof User>
