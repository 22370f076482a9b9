import { Elysia, t } from 'elysia'
import { ownScopes } from './client-model.ts'
import type { LoginProblems } from './problems.ts'

/** How long others may keep it, seconds. It changes with a release and no sooner. */
const maxAge = 300

const Names = t.Array(t.String())

const Metadata = t.Object(
  {
    issuer: t.String(),
    token_endpoint: t.String(),
    jwks_uri: t.String(),
    introspection_endpoint: t.String(),
    revocation_endpoint: t.String(),
    grant_types_supported: Names,
    scopes_supported: Names,
    token_endpoint_auth_methods_supported: Names,
    introspection_endpoint_auth_methods_supported: Names,
    revocation_endpoint_auth_methods_supported: Names,
  },
  { title: 'AuthorizationServerMetadata' },
)

const withSecret = ['client_secret_basic', 'client_secret_post']

export type MetadataOptions = { readonly problems: LoginProblems; readonly issuer: string }

/**
 * What this service can do of OAuth, RFC 8414.
 *
 * `response_types_supported` is not in it. Section 2 requires it, and there is nothing to put in: response types belong
 * to the authorization endpoint, which this service does not have (section 2 lets `authorization_endpoint` itself be
 * absent then), and section 3.2 wants claims of no elements left out. Naming one that does not work would be worse.
 */
export const metadataRoute = ({ problems, issuer }: MetadataOptions) =>
  new Elysia({ name: 'login/metadata', tags: ['OAuth'] }).use(problems).get(
    '/.well-known/oauth-authorization-server',
    ({ set }) => {
      set.headers['cache-control'] = `public, max-age=${maxAge}`
      return {
        issuer,
        token_endpoint: `${issuer}/oauth/token`,
        jwks_uri: `${issuer}/.well-known/jwks.json`,
        introspection_endpoint: `${issuer}/oauth/introspect`,
        revocation_endpoint: `${issuer}/oauth/revoke`,
        grant_types_supported: ['client_credentials'],
        scopes_supported: [...ownScopes],
        token_endpoint_auth_methods_supported: withSecret,
        introspection_endpoint_auth_methods_supported: withSecret,
        // Of a user's token possession is enough.
        revocation_endpoint_auth_methods_supported: [...withSecret, 'none'],
      }
    },
    { response: { 200: Metadata }, detail: { summary: 'What this service can do of OAuth (RFC 8414)' } },
  )
