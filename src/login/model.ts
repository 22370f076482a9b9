import { Type } from '@sinclair/typebox'
import { t } from 'elysia'
import { isoTime } from '../lib/clock.ts'
import { pageQuery } from '../lib/page-query.ts'
import { DisplayName, EmailInput, PasswordInput, RoleName, type User, UserStatus } from '../userdb/index.ts'

const strict = { additionalProperties: false } as const

// That each is there once is for `userdb` to check: TypeBox would hash whatever stands in a list that is refused anyway.
const RoleNames = t.Array(RoleName, { maxItems: 16 })

/** A user on the wire: times in ISO 8601. */
export const UserView = t.Object(
  {
    id: t.String(),
    email: t.String(),
    displayName: t.Nullable(t.String()),
    roles: t.Array(t.String()),
    status: UserStatus,
    createdAt: t.String({ format: 'date-time' }),
    updatedAt: t.String({ format: 'date-time' }),
  },
  { title: 'User' },
)
export type UserView = typeof UserView.static

/** Every member is named, so that a new column stays inside until it is let out. */
export const toUserView = ({
  id,
  email,
  displayName,
  roles,
  status,
  createdAt,
  updatedAt,
}: User): UserView => ({
  id,
  email,
  displayName,
  roles,
  status,
  createdAt: isoTime(createdAt),
  updatedAt: isoTime(updatedAt),
})

export const UserList = t.Object({ items: t.Array(UserView), nextCursor: t.Nullable(t.String()) })

export const ListQuery = t.Object({
  ...pageQuery,
  email: t.Optional(t.String({ maxLength: 254, description: 'Only the user with this address' })),
  status: t.Optional(UserStatus),
})

export const CreateUserBody = t.Object(
  {
    email: EmailInput,
    password: PasswordInput,
    displayName: t.Optional(t.Nullable(DisplayName)),
    roles: t.Optional(RoleNames),
  },
  strict,
)

export const ChangeUserBody = t.Object(
  { displayName: t.Optional(t.Nullable(DisplayName)), roles: t.Optional(RoleNames) },
  strict,
)

/** What people may change about themselves; roles are an administrator's to give. */
export const ChangeOwnBody = t.Object({ displayName: t.Optional(t.Nullable(DisplayName)) }, strict)

export const SignInBody = t.Object({ email: t.String({ maxLength: 254 }), password: PasswordInput }, strict)

// Wide enough for an access token that somebody took for one: that is a bad token, and no bad request.
const RefreshTokenText = t.String({ minLength: 1, maxLength: 8_192 })

export const RefreshBody = t.Object({ refresh_token: RefreshTokenText }, strict)

export const SignOutBody = t.Object(
  {
    refresh_token: RefreshTokenText,
    scope: t.Optional(
      t.Union([t.Literal('local'), t.Literal('others'), t.Literal('global')], {
        description: 'This session (the default), all others, or all',
      }),
    ),
  },
  strict,
)

export const SetupBody = t.Object(
  {
    token: t.String({ minLength: 1, maxLength: 256 }),
    email: EmailInput,
    password: PasswordInput,
    displayName: t.Optional(t.Nullable(DisplayName)),
  },
  strict,
)

/** Members as RFC 6749 section 5.1 names them. */
export const TokenAnswer = t.Object({
  access_token: t.String(),
  token_type: t.Literal('Bearer'),
  expires_in: Type.Integer({ description: 'Seconds that the access token has left' }),
  refresh_token: t.String({ description: 'Good once; the answer to its use holds the next one' }),
})
