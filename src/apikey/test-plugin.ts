import { Elysia } from 'elysia'
import { createSigner } from '../lib/jwt/signer.ts'
import type { apikey } from './plugin.ts'
import { problems } from './problems.ts'

export const roles = { user: ['notes:read'], admin: ['notes:*'] } as const
export const secret = 'a shared secret of 32 bytes, and then some'
export const common = { audience: 'notes', roles } as const
export const shared = { ...common, jwt: { secret }, issuer: 'http://login.test' } as const

/** Claims of an access token, good for a minute. */
export const claims = (issuer: string, audience = 'notes') => ({
  iss: issuer,
  sub: 'usr_ann',
  aud: audience,
  exp: Math.floor(Date.now() / 1_000) + 60,
  jti: 'j',
  client_id: 'latchkey-login',
  roles: ['user'],
})
/** Headers with a token by the shared secret. */
export const bearer = async (
  issuer: string = shared.issuer,
  audience = 'notes',
): Promise<Record<string, string>> => ({
  authorization: `Bearer ${await createSigner({ algorithm: 'HS256', kid: null, secret }).sign(claims(issuer, audience))}`,
})

/** An app with one route of each method; `ran` counts its handlers. */
export const host = (auth: ReturnType<typeof apikey<'notes:read' | 'notes:*'>>, withProblems = false) => {
  const ran: string[] = []
  const handler = () => {
    ran.push('ran')
    return 'ok'
  }
  return {
    ran,
    app: new Elysia()
      .use(withProblems ? problems({ onUnexpected: () => undefined }) : new Elysia())
      .use(auth)
      .get('/notes', handler, { permission: 'notes:read' })
      .post('/notes', handler, { permission: 'notes:read' })
      .get('/people', handler, { permission: 'any', credential: 'jwt' }),
  }
}
