import { type Static, Type } from '@sinclair/typebox'

/**
 * The change feed on the wire: what `login` writes and whoever follows it reads. Followers ignore members and kinds
 * that are not here, so that later releases can add some; a *type* they do not know means "fetch that subject again".
 */

/** Types of changes: names of RISC and CAEP (OpenID Foundation) where there is one, our own otherwise. */
export const changeTypes = {
  accountCreated: 'urn:latchkey:event-type:account-created',
  accountDisabled: 'https://schemas.openid.net/secevent/risc/event-type/account-disabled',
  accountEnabled: 'https://schemas.openid.net/secevent/risc/event-type/account-enabled',
  accountPurged: 'https://schemas.openid.net/secevent/risc/event-type/account-purged',
  claimsChanged: 'https://schemas.openid.net/secevent/caep/event-type/token-claims-change',
  credentialChanged: 'https://schemas.openid.net/secevent/caep/event-type/credential-change',
  sessionRevoked: 'https://schemas.openid.net/secevent/caep/event-type/session-revoked',
  tokenRevoked: 'urn:latchkey:event-type:token-revoked',
  signingKeyRevoked: 'urn:latchkey:event-type:signing-key-revoked',
} as const
export type ChangeType = (typeof changeTypes)[keyof typeof changeTypes]

export { longestTokenSeconds } from './jwt/claims.ts'

const Id = Type.String({ minLength: 1, maxLength: 128 })
const Time = Type.String({ format: 'date-time', maxLength: 40 })

/** A user (`usr_…`) or service account (`cli_…`) as a service needs to know it. */
export const SubjectState = Type.Object(
  {
    status: Type.Union([Type.Literal('active'), Type.Literal('disabled'), Type.Literal('deleted')]),
    roles: Type.Array(Type.String({ maxLength: 40 }), { maxItems: 16, description: 'Of a user' }),
    scopes: Type.Array(Type.String({ maxLength: 81 }), { maxItems: 32, description: 'Of a service account' }),
    tokensSince: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'Seconds since the epoch: access tokens with an earlier `iat` are no good',
      }),
    ),
  },
  { title: 'SubjectState' },
)
export type SubjectState = Static<typeof SubjectState>

export const Change = Type.Object(
  {
    sequence: Type.Integer({ minimum: 1, description: 'Ascends; numbers may be missing, none comes twice' }),
    type: Type.String({ minLength: 1, maxLength: 256 }),
    at: Time,
    subjectId: Type.String({
      minLength: 1,
      maxLength: 128,
      description: 'usr_…, cli_…, or the kid of a signing key',
    }),
    state: Type.Union([SubjectState, Type.Null()], {
      description: 'The subject as this change left it; null where it changed nothing about it',
    }),
    sessionId: Type.Union([Id, Type.Null()], { description: 'The session that ended' }),
    tokenId: Type.Union([Id, Type.Null()], { description: '`jti` of the access token that was revoked' }),
    expiresAt: Type.Union([Time, Type.Null()], {
      description: 'When the last access token of what ended has expired by itself',
    }),
  },
  { title: 'Change' },
)
export type Change = Static<typeof Change>

const Generation = Type.String({
  minLength: 1,
  maxLength: 128,
  description: 'Names one history; another one means that the database was replaced',
})
const Cursor = Type.String({ minLength: 1, maxLength: 256 })

/** `GET /changes`. No items: nothing happened, and the feed is alive. */
export const ChangesPage = Type.Object({
  generation: Generation,
  items: Type.Array(Change, { maxItems: 1_000 }),
  nextCursor: Cursor,
})
export type ChangesPage = Static<typeof ChangesPage>

export const SubjectItem = Type.Object({ kind: Type.Literal('subject'), id: Id, state: SubjectState })
export const EndedItem = Type.Object({
  kind: Type.Union([Type.Literal('session'), Type.Literal('token')]),
  id: Id,
  expiresAt: Time,
})
export const SnapshotItem = Type.Union([SubjectItem, EndedItem])
export type SnapshotItem = Static<typeof SnapshotItem>

/** `GET /changes/snapshot`: everything, page by page; what happened meanwhile is read from `cursor` on. */
export const SnapshotPage = Type.Object({
  generation: Generation,
  cursor: Type.String({ minLength: 1, maxLength: 256, description: 'The same on all pages: where to go on' }),
  sequence: Type.Integer({ minimum: 0, description: 'The last change that this page knows of' }),
  items: Type.Array(SnapshotItem, { maxItems: 1_000 }),
  nextPage: Type.Union([Cursor, Type.Null()]),
})
export type SnapshotPage = Static<typeof SnapshotPage>

/** `GET /changes/subjects/:id`: one subject as it is now; one that is gone or never was is `deleted`. */
export const SubjectAnswer = Type.Object({
  generation: Generation,
  sequence: Type.Integer({ minimum: 0, description: 'The last change that this answer knows of' }),
  id: Id,
  state: SubjectState,
})
export type SubjectAnswer = Static<typeof SubjectAnswer>

/** What a client must hold to read the feed, and to ask about tokens (RFC 7662). */
export const readChanges = 'changes:read'
export const introspectTokens = 'tokens:introspect'
