import { type Static, Type } from '@sinclair/typebox'
import { introspectTokens, readChanges, type SubjectState } from '../lib/changes-schema.ts'
import { printablePattern } from '../lib/text.ts'

/** `cli_` and what an operator or `createId` put after it. */
export const clientIdPattern = '^cli_[0-9A-Za-z_-]{1,60}$'

/** `resource:action`, without the wildcards that permissions have: a token says what it is good for in full. */
export const ClientScope = Type.String({ pattern: '^[a-z][a-z0-9-]{0,39}:[a-z][a-z0-9-]{0,39}$' })

/** At most 32; each once, and not too long together, is for the registry to see to. */
export const ClientScopes = Type.Array(ClientScope, { maxItems: 32 })

/**
 * All scopes of a client in one text. With as many audiences as are allowed beside them, a token stays below the
 * 8 KiB that verifiers read.
 */
export const maxScopeText = 1_024

/** 1 to 100 characters, not all of them spaces. */
export const ClientName = Type.String({
  maxLength: 100,
  pattern: `^(?=.*\\S)${printablePattern.slice(1)}`,
  description: '1 to 100 characters',
})

/** The most characters that a secret may have: those made here have 47, those of operators as many as they like. */
export const maxSecretLength = 256

/** What a client may hold on `login` itself, whatever else its scopes name: no right over users. */
export const ownScopes = [readChanges, introspectTokens] as const

export const ClientStatus = Type.Union([Type.Literal('active'), Type.Literal('disabled')])
export type ClientStatus = Static<typeof ClientStatus>

/** A secret of a service account, without the secret. */
export type ClientSecret = {
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  /** Set once another took its place; milliseconds since the epoch. */
  readonly expiresAt: number | null
}

/** What services have to know of a service account. */
export const subjectStateOf = ({
  status,
  scopes,
  tokensSince,
}: {
  readonly status: SubjectState['status']
  readonly scopes: readonly string[]
  readonly tokensSince: number | null
}): SubjectState => ({
  status,
  roles: [],
  scopes: [...scopes],
  ...(tokensSince === null ? {} : { tokensSince }),
})

/** A service account that has not been deleted. */
export type Client = {
  readonly id: string
  readonly name: string
  /** In alphabetical order, each once. */
  readonly scopes: readonly string[]
  readonly status: ClientStatus
  readonly createdBy: string | null
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  readonly updatedAt: number
  /** Access tokens that were issued before are no good, seconds since the epoch; null where all are. */
  readonly tokensSince: number | null
  /** Those that are good now, oldest first: one, or two while a rotation lasts. */
  readonly secrets: readonly ClientSecret[]
}
