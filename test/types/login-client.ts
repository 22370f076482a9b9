/* Written by `bun scripts/generate-type-tests.ts`: every route by every status. Compiled, never run. */
import type { CommonCode } from '../../src/lib/problem.ts'
import type { Problem } from '../../src/lib/problem-answer.ts'
import type { createLoginClient } from '../../src/login/client.ts'
import type { LoginCode } from '../../src/login/errors.ts'
import type { AnyQuery, AnyString, None, WrongBody, WrongData, WrongErrors } from './equal.ts'

type Client = ReturnType<typeof createLoginClient>
type Status = 400 | 401 | 403 | 404 | 405 | 409 | 410 | 412 | 413 | 415 | 422 | 429 | 500 | 502 | 503 | 504
type Code = CommonCode | LoginCode

type GetLivez = {
  status: 'ok'
}

type GetReadyz = {
  status: 'ok' | 'degraded'
}

type GetWellKnownJwksJson = {
  keys: {
    kty: 'EC'
    crv: 'P-256'
    x: string
    y: string
    kid: string
    alg: 'ES256'
    use: 'sig'
  }[]
}

type AuthorizationServerMetadata = {
  issuer: string
  token_endpoint: string
  jwks_uri: string
  introspection_endpoint: string
  revocation_endpoint: string
  grant_types_supported: string[]
  scopes_supported: string[]
  token_endpoint_auth_methods_supported: string[]
  introspection_endpoint_auth_methods_supported: string[]
  revocation_endpoint_auth_methods_supported: string[]
}

type PostAuthLogin = {
  access_token: string
  token_type: 'Bearer'
  expires_in: number
  refresh_token: string
}

type PostAuthLoginBody = {
  email: string
  password: string
}

type PostAuthRefreshBody = {
  refresh_token: string
}

type PostAuthLogoutBody = {
  refresh_token: string
  scope?: 'local' | 'others' | 'global'
}

type User = {
  id: string
  email: string
  displayName: string | null
  roles: string[]
  status: 'active' | 'disabled'
  createdAt: string
  updatedAt: string
}

type PostAuthSetupBody = {
  token: string
  email: string
  password: string
  displayName?: string | null
}

type PatchUsersMeBody = {
  displayName?: string | null
}

type GetUsers = {
  items: {
    id: string
    email: string
    displayName: string | null
    roles: string[]
    status: 'active' | 'disabled'
    createdAt: string
    updatedAt: string
  }[]
  nextCursor: string | null
}

type PostUsersBody = {
  email: string
  password: string
  displayName?: string | null
  roles?: string[]
}

type PatchUsersIdBody = {
  displayName?: string | null
  roles?: string[]
}

type GetClients = {
  items: {
    id: string
    name: string
    scopes: string[]
    status: 'active' | 'disabled'
    createdBy: string | null
    createdAt: string
    updatedAt: string
    secrets: {
      id: string
      createdAt: string
      expiresAt: string | null
    }[]
  }[]
  nextCursor: string | null
}

type ServiceAccountWithSecret = {
  id: string
  name: string
  scopes: string[]
  status: 'active' | 'disabled'
  createdBy: string | null
  createdAt: string
  updatedAt: string
  secrets: {
    id: string
    createdAt: string
    expiresAt: string | null
  }[]
  secret: string
}

type PostClientsBody = {
  name: string
  scopes: string[]
}

type ServiceAccount = {
  id: string
  name: string
  scopes: string[]
  status: 'active' | 'disabled'
  createdBy: string | null
  createdAt: string
  updatedAt: string
  secrets: {
    id: string
    createdAt: string
    expiresAt: string | null
  }[]
}

type PatchClientsIdBody = {
  name?: string
  scopes?: string[]
}

type PostClientsIdRotateBody = {
  graceSeconds?: number
}

type GetChanges = {
  generation: string
  items: {
    sequence: number
    type: string
    at: string
    subjectId: string
    state: {
      status: 'active' | 'disabled' | 'deleted'
      roles: string[]
      scopes: string[]
      tokensSince?: number
    } | null
    sessionId: string | null
    tokenId: string | null
    expiresAt: string | null
  }[]
  nextCursor: string
}

type GetChangesSnapshot = {
  generation: string
  cursor: string
  sequence: number
  items: (
    | {
        kind: 'subject'
        id: string
        state: {
          status: 'active' | 'disabled' | 'deleted'
          roles: string[]
          scopes: string[]
          tokensSince?: number
        }
      }
    | {
        kind: 'session' | 'token'
        id: string
        expiresAt: string
      }
  )[]
  nextPage: string | null
}

type GetChangesSubjectsId = {
  generation: string
  sequence: number
  id: string
  state: {
    status: 'active' | 'disabled' | 'deleted'
    roles: string[]
    scopes: string[]
    tokensSince?: number
  }
}

type GetSigningKeys = {
  items: {
    kid: string
    algorithm: 'ES256'
    state: 'active' | 'revoked'
    createdAt: string
    revokedAt: string | null
  }[]
}

type SigningKey = {
  kid: string
  algorithm: 'ES256'
  state: 'active' | 'revoked'
  createdAt: string
  revokedAt: string | null
}

type GetChangesFollowers = {
  latestSequence: number
  items: {
    follower: string | null
    clientId: string
    sequence: number | null
    behind: number | null
    lastPolledAt: string
    isWaiting: boolean
  }[]
}

export type Checks = [
  // GET /livez
  None<WrongData<Client['livez']['get'], GetLivez>>,
  None<WrongErrors<Client['livez']['get'], Status, Problem<Code>>>,
  // GET /readyz
  None<WrongData<Client['readyz']['get'], GetReadyz>>,
  None<WrongErrors<Client['readyz']['get'], Status, Problem<Code>>>,
  // GET /metrics
  None<WrongData<Client['metrics']['get'], string>>,
  None<WrongErrors<Client['metrics']['get'], Status, Problem<Code>>>,
  // GET /.well-known/jwks.json
  None<WrongData<Client['.well-known']['jwks.json']['get'], GetWellKnownJwksJson>>,
  None<WrongErrors<Client['.well-known']['jwks.json']['get'], Status, Problem<Code>>>,
  // GET /.well-known/oauth-authorization-server
  None<WrongData<Client['.well-known']['oauth-authorization-server']['get'], AuthorizationServerMetadata>>,
  None<WrongErrors<Client['.well-known']['oauth-authorization-server']['get'], Status, Problem<Code>>>,
  // POST /auth/login
  None<WrongData<Client['auth']['login']['post'], PostAuthLogin>>,
  None<WrongBody<Client['auth']['login']['post'], PostAuthLoginBody>>,
  None<WrongErrors<Client['auth']['login']['post'], Status, Problem<Code>>>,
  // POST /auth/refresh
  None<WrongData<Client['auth']['refresh']['post'], PostAuthLogin>>,
  None<WrongBody<Client['auth']['refresh']['post'], PostAuthRefreshBody>>,
  None<WrongErrors<Client['auth']['refresh']['post'], Status, Problem<Code>>>,
  // POST /auth/logout
  None<WrongData<Client['auth']['logout']['post'], void>>,
  None<WrongBody<Client['auth']['logout']['post'], PostAuthLogoutBody>>,
  None<WrongErrors<Client['auth']['logout']['post'], Status, Problem<Code>>>,
  // POST /auth/setup
  None<WrongData<Client['auth']['setup']['post'], User>>,
  None<WrongBody<Client['auth']['setup']['post'], PostAuthSetupBody>>,
  None<WrongErrors<Client['auth']['setup']['post'], Status, Problem<Code>>>,
  // GET /users/me
  None<WrongData<Client['users']['me']['get'], User>>,
  None<WrongErrors<Client['users']['me']['get'], Status, Problem<Code>>>,
  // PATCH /users/me
  None<WrongData<Client['users']['me']['patch'], User>>,
  None<WrongBody<Client['users']['me']['patch'], PatchUsersMeBody | undefined>>,
  None<WrongErrors<Client['users']['me']['patch'], Status, Problem<Code>>>,
  // DELETE /users/me
  None<WrongData<Client['users']['me']['delete'], void>>,
  None<WrongErrors<Client['users']['me']['delete'], Status, Problem<Code>>>,
  // GET /users
  None<WrongData<Client['users']['get'], GetUsers>>,
  None<AnyQuery<Client['users']['get']>>,
  None<WrongErrors<Client['users']['get'], Status, Problem<Code>>>,
  // POST /users
  None<WrongData<Client['users']['post'], User>>,
  None<WrongBody<Client['users']['post'], PostUsersBody>>,
  None<WrongErrors<Client['users']['post'], Status, Problem<Code>>>,
  // GET /users/:id
  None<WrongData<ReturnType<Client['users']>['get'], User>>,
  None<WrongErrors<ReturnType<Client['users']>['get'], Status, Problem<Code>>>,
  // PATCH /users/:id
  None<WrongData<ReturnType<Client['users']>['patch'], User>>,
  None<WrongBody<ReturnType<Client['users']>['patch'], PatchUsersIdBody | undefined>>,
  None<WrongErrors<ReturnType<Client['users']>['patch'], Status, Problem<Code>>>,
  // DELETE /users/:id
  None<WrongData<ReturnType<Client['users']>['delete'], void>>,
  None<WrongErrors<ReturnType<Client['users']>['delete'], Status, Problem<Code>>>,
  // POST /users/:id/disable
  None<WrongData<ReturnType<Client['users']>['disable']['post'], User>>,
  None<WrongErrors<ReturnType<Client['users']>['disable']['post'], Status, Problem<Code>>>,
  // POST /users/:id/enable
  None<WrongData<ReturnType<Client['users']>['enable']['post'], User>>,
  None<WrongErrors<ReturnType<Client['users']>['enable']['post'], Status, Problem<Code>>>,
  // GET /clients
  None<WrongData<Client['clients']['get'], GetClients>>,
  None<AnyQuery<Client['clients']['get']>>,
  None<WrongErrors<Client['clients']['get'], Status, Problem<Code>>>,
  // POST /clients
  None<WrongData<Client['clients']['post'], ServiceAccountWithSecret>>,
  None<WrongBody<Client['clients']['post'], PostClientsBody>>,
  None<WrongErrors<Client['clients']['post'], Status, Problem<Code>>>,
  // GET /clients/:id
  None<WrongData<ReturnType<Client['clients']>['get'], ServiceAccount>>,
  None<WrongErrors<ReturnType<Client['clients']>['get'], Status, Problem<Code>>>,
  // PATCH /clients/:id
  None<WrongData<ReturnType<Client['clients']>['patch'], ServiceAccount>>,
  None<WrongBody<ReturnType<Client['clients']>['patch'], PatchClientsIdBody | undefined>>,
  None<WrongErrors<ReturnType<Client['clients']>['patch'], Status, Problem<Code>>>,
  // DELETE /clients/:id
  None<WrongData<ReturnType<Client['clients']>['delete'], void>>,
  None<WrongErrors<ReturnType<Client['clients']>['delete'], Status, Problem<Code>>>,
  // POST /clients/:id/disable
  None<WrongData<ReturnType<Client['clients']>['disable']['post'], ServiceAccount>>,
  None<WrongErrors<ReturnType<Client['clients']>['disable']['post'], Status, Problem<Code>>>,
  // POST /clients/:id/enable
  None<WrongData<ReturnType<Client['clients']>['enable']['post'], ServiceAccount>>,
  None<WrongErrors<ReturnType<Client['clients']>['enable']['post'], Status, Problem<Code>>>,
  // POST /clients/:id/rotate
  None<WrongData<ReturnType<Client['clients']>['rotate']['post'], ServiceAccountWithSecret>>,
  None<
    WrongBody<ReturnType<Client['clients']>['rotate']['post'], PostClientsIdRotateBody | null | undefined>
  >,
  None<WrongErrors<ReturnType<Client['clients']>['rotate']['post'], Status, Problem<Code>>>,
  // GET /changes
  None<WrongData<Client['changes']['get'], GetChanges>>,
  None<AnyQuery<Client['changes']['get']>>,
  None<WrongErrors<Client['changes']['get'], Status, Problem<Code>>>,
  // GET /changes/snapshot
  None<WrongData<Client['changes']['snapshot']['get'], GetChangesSnapshot>>,
  None<AnyQuery<Client['changes']['snapshot']['get']>>,
  None<WrongErrors<Client['changes']['snapshot']['get'], Status, Problem<Code>>>,
  // GET /changes/subjects/:id
  None<WrongData<ReturnType<Client['changes']['subjects']>['get'], GetChangesSubjectsId>>,
  None<WrongErrors<ReturnType<Client['changes']['subjects']>['get'], Status, Problem<Code>>>,
  // GET /signing-keys
  None<WrongData<Client['signing-keys']['get'], GetSigningKeys>>,
  None<WrongErrors<Client['signing-keys']['get'], Status, Problem<Code>>>,
  // POST /signing-keys/:kid/revoke
  None<WrongData<ReturnType<Client['signing-keys']>['revoke']['post'], SigningKey>>,
  None<WrongErrors<ReturnType<Client['signing-keys']>['revoke']['post'], Status, Problem<Code>>>,
  // GET /changes/followers
  None<WrongData<Client['changes']['followers']['get'], GetChangesFollowers>>,
  None<WrongErrors<Client['changes']['followers']['get'], Status, Problem<Code>>>,
]

// A union of literals, or the checks of errors say little.
export type Codes = None<AnyString<Code>>
