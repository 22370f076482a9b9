import { randomUUID } from 'node:crypto'
import { SignJWT } from 'jose'
import type { Site } from './site.ts'

export type Forgery = {
  /** Members to put into the payload; undefined leaves one out. */
  readonly claims?: Readonly<Record<string, unknown>>
  readonly header?: Readonly<Record<string, unknown>>
  readonly secret?: string
  readonly algorithm?: 'HS256' | 'HS384' | 'HS512'
}

/** Signs tokens with the secret of a site as `login` would, but for what is asked for. */
export const createForge =
  ({ login }: Site, secret: string, subject: { readonly id: string; readonly sessionId: string }) =>
  ({
    claims = {},
    header = {},
    secret: other = secret,
    algorithm = 'HS256',
  }: Forgery = {}): Promise<string> => {
    const now = Math.floor(Date.now() / 1_000)
    const payload = {
      iss: login.url,
      sub: subject.id,
      aud: [login.url, 'service-a'],
      iat: now,
      exp: now + 300,
      jti: randomUUID(),
      client_id: 'latchkey-login',
      sid: subject.sessionId,
      roles: ['user'],
      ...claims,
    }
    // A clone by way of JSON drops the members that are undefined.
    const sent: Record<string, unknown> = JSON.parse(JSON.stringify(payload))
    return new SignJWT(sent)
      .setProtectedHeader({ alg: algorithm, typ: 'at+jwt', ...header })
      .sign(new TextEncoder().encode(other))
  }

export type Forge = ReturnType<typeof createForge>
