import { type Static, Type } from '@sinclair/typebox'

const claim = Type.String({ minLength: 1, maxLength: 512 })

/**
 * Claims of an access token: those that RFC 9068 section 2.2 requires, `scope` where there is one, and `sid`
 * (the session) and `roles` of a user. No personal data.
 */
export const AccessTokenClaims = Type.Object({
  iss: claim,
  sub: claim,
  aud: Type.Union([claim, Type.Array(claim, { minItems: 1, maxItems: 32 })]),
  exp: Type.Integer(),
  iat: Type.Integer(),
  jti: claim,
  client_id: claim,
  scope: Type.Optional(Type.String({ maxLength: 2_048 })),
  sid: Type.Optional(claim),
  roles: Type.Optional(Type.Array(Type.String({ maxLength: 40 }), { maxItems: 16 })),
})
export type AccessTokenClaims = Static<typeof AccessTokenClaims>

/** Longest life of an access token, seconds: how long the end of a session has to be remembered. */
export const longestTokenSeconds = 3_600

/** The media type of an access token, RFC 9068 section 2.1. */
export const accessTokenType = 'at+jwt'
