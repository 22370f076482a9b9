import { Elysia, t } from 'elysia'
import { PublicJwk } from '../lib/jwt/jwks.ts'
import type { LoginProblems } from './problems.ts'

/** How long others may keep the key set, seconds: no longer than it takes a new key to be used. */
const maxAge = 300

export type JwksOptions = { readonly problems: LoginProblems; readonly published: () => readonly PublicJwk[] }

/** The public keys that tokens are signed with, RFC 7517 section 5. Empty where a secret is shared instead. */
export const jwksRoute = ({ problems, published }: JwksOptions) =>
  new Elysia({ name: 'login/jwks', tags: ['Keys'] }).use(problems).get(
    '/.well-known/jwks.json',
    ({ set }) => {
      set.headers['content-type'] = 'application/jwk-set+json'
      set.headers['cache-control'] = `public, max-age=${maxAge}`
      return { keys: [...published()] }
    },
    { response: { 200: t.Object({ keys: t.Array(PublicJwk) }) }, detail: { summary: 'Public signing keys' } },
  )
