/* Written by `bun scripts/generate-type-tests.ts`: every route by every status. Compiled, never run. */
import type { CommonCode, Problem } from '../../src/lib/problem.ts'
import type { createLoginClient } from '../../src/login/client.ts'
import type { LoginCode } from '../../src/login/errors.ts'
import type { AnyQuery, AnyString, None, WrongBody, WrongData, WrongErrors } from './equal.ts'

type Client = ReturnType<typeof createLoginClient>
type Status = 400 | 401 | 403 | 404 | 405 | 409 | 412 | 413 | 415 | 422 | 429 | 500 | 502 | 503 | 504
type Code = CommonCode | LoginCode

type GetLivez = {
  status: 'ok'
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

export type Checks = [
  // GET /livez
  None<WrongData<Client['livez']['get'], GetLivez>>,
  None<WrongErrors<Client['livez']['get'], Status, Problem<Code>>>,
  // GET /readyz
  None<WrongData<Client['readyz']['get'], GetLivez>>,
  None<WrongErrors<Client['readyz']['get'], Status, Problem<Code>>>,
  // GET /.well-known/jwks.json
  None<WrongData<Client['.well-known']['jwks.json']['get'], GetWellKnownJwksJson>>,
  None<WrongErrors<Client['.well-known']['jwks.json']['get'], Status, Problem<Code>>>,
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
]

// A union of literals, or the checks of errors say little.
export type Codes = None<AnyString<Code>>
