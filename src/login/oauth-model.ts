import { type TSchema, Type } from '@sinclair/typebox'
import { formMediaType } from '../lib/form.ts'

/* Members and parameters as the RFCs name them. What is read is checked by hand, since the errors have other words. */

const clientParameters = {
  client_id: Type.Optional(Type.String({ description: 'For client_secret_post' })),
  client_secret: Type.Optional(Type.String({ description: 'For client_secret_post' })),
}

const tokenTypeHint = Type.Optional(Type.String({ description: 'Not needed, and not looked at' }))

export const TokenForm = Type.Object({
  grant_type: Type.Literal('client_credentials'),
  scope: Type.Optional(Type.String({ description: 'Separated by spaces; all of the client when absent' })),
  audience: Type.Optional(
    Type.Array(Type.String(), { description: 'A service that the token is to be good at; may repeat' }),
  ),
  ...clientParameters,
})

export const IntrospectionForm = Type.Object({
  token: Type.String({ description: 'An access token or a refresh token' }),
  token_type_hint: tokenTypeHint,
  ...clientParameters,
})

export const RevocationForm = IntrospectionForm

/** RFC 6749 section 5.1. */
export const ClientTokenAnswer = Type.Object({
  access_token: Type.String(),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer({ description: 'Seconds that the access token has left' }),
  scope: Type.Optional(Type.String({ description: 'Those granted; absent where there is none' })),
})

/** RFC 7662 section 2.2. */
export const IntrospectionAnswer = Type.Object({
  active: Type.Boolean({ description: 'False comes alone, and says nothing of why' }),
  scope: Type.Optional(Type.String()),
  client_id: Type.Optional(Type.String()),
  token_type: Type.Optional(Type.Literal('Bearer', { description: 'Of an access token' })),
  exp: Type.Optional(Type.Integer()),
  iat: Type.Optional(Type.Integer()),
  sub: Type.Optional(Type.String()),
  aud: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())])),
  iss: Type.Optional(Type.String()),
  jti: Type.Optional(Type.String()),
})

/** How an operation of OAuth differs from all others in the description of the API. */
export const formOperation = (schema: TSchema, { anonymous = false } = {}) => ({
  requestBody: { required: true, content: { [formMediaType]: { schema } } },
  security: [{ client: [] }, ...(anonymous ? [{}] : [])],
  'x-oauth': true,
})
