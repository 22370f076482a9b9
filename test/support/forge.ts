import { createHmac, randomUUID } from 'node:crypto'
import type { Site } from './site.ts'

export type Forgery = {
  /** Members to put into the payload; undefined leaves one out. */
  readonly claims?: Readonly<Record<string, unknown>>
  readonly header?: Readonly<Record<string, unknown>>
  readonly secret?: string
  readonly algorithm?: 'HS256' | 'HS384' | 'HS512'
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Signs tokens with the secret of a site as `login` would, but for what is asked for. */
export const createForge =
  (
    { login }: Pick<Site, 'login'>,
    secret: string,
    subject: { readonly id: string; readonly sessionId: string },
  ) =>
  ({ claims = {}, header = {}, secret: other = secret, algorithm = 'HS256' }: Forgery = {}): string => {
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
    // By hand, since a library would refuse to sign much of this.
    const signed = `${encode({ alg: algorithm, typ: 'at+jwt', ...header })}.${encode(payload)}`
    const signature = createHmac(algorithm.replace('HS', 'sha'), other).update(signed).digest('base64url')
    return `${signed}.${signature}`
  }

export type Forge = ReturnType<typeof createForge>
