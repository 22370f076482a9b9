/* Written by `bun scripts/generate-type-tests.ts`: every route by every status. Compiled, never run. */
import type { ApikeyCode } from '../../src/apikey/errors.ts'
import type { Problem } from '../../src/lib/problem-answer.ts'
import type { createServiceAClient } from '../../src/service-a/client.ts'
import type { ServiceCode } from '../../src/service-a/errors.ts'
import type { AnyQuery, AnyString, None, WrongBody, WrongData, WrongErrors } from './equal.ts'

type Client = ReturnType<typeof createServiceAClient>
type Status = 400 | 401 | 403 | 404 | 405 | 409 | 410 | 412 | 413 | 415 | 422 | 429 | 500 | 502 | 503 | 504
type Code = ApikeyCode | ServiceCode

type GetLivez = {
  status: 'ok'
}

type GetReadyz = {
  status: 'ok' | 'degraded'
}

type PostApiKeys = {
  id: string
  name: string
  ownerId: string
  createdBy: string
  permissions: string[]
  enabled: boolean
  expiresAt: string | null
  start: string
  last4: string
  createdAt: string
  updatedAt: string
  rotatedFrom: string | null
  rotatedTo: string | null
  revokedAt: string | null
  lastUsedAt: string | null
  lastUsedAddress: string | null
  metadata: Record<string, unknown> | null
  allowedNetworks: string[] | null
  limits:
    | {
        name: string
        limit: number
        windowSeconds: number
      }[]
    | null
  metered: boolean
  key: string
}

type PostApiKeysBody = {
  name: string
  permissions?: string[]
  expiresAt?: string | null
  metadata?: Record<string, unknown> | null
  allowedNetworks?: string[] | null
  limits?:
    | {
        name: string
        limit: number
        windowSeconds: number
      }[]
    | null
  credits?: {
    remaining: number
    refill?: {
      amount: number
      interval: 'daily' | 'monthly'
      dayOfMonth?: number
    } | null
  } | null
  ownerId?: string
}

type GetApiKeys = {
  items: {
    id: string
    name: string
    ownerId: string
    createdBy: string
    permissions: string[]
    enabled: boolean
    expiresAt: string | null
    start: string
    last4: string
    createdAt: string
    updatedAt: string
    rotatedFrom: string | null
    rotatedTo: string | null
    revokedAt: string | null
    lastUsedAt: string | null
    lastUsedAddress: string | null
    metadata: Record<string, unknown> | null
    allowedNetworks: string[] | null
    limits:
      | {
          name: string
          limit: number
          windowSeconds: number
        }[]
      | null
    metered: boolean
  }[]
  nextCursor: string | null
}

type GetApiKeysId = {
  id: string
  name: string
  ownerId: string
  createdBy: string
  permissions: string[]
  enabled: boolean
  expiresAt: string | null
  start: string
  last4: string
  createdAt: string
  updatedAt: string
  rotatedFrom: string | null
  rotatedTo: string | null
  revokedAt: string | null
  lastUsedAt: string | null
  lastUsedAddress: string | null
  metadata: Record<string, unknown> | null
  allowedNetworks: string[] | null
  limits:
    | {
        name: string
        limit: number
        windowSeconds: number
      }[]
    | null
  metered: boolean
}

type PostApiKeysFindBody = {
  key: string
}

type GetApiKeysAudit = {
  items: {
    sequence: number
    at: string
    action: string
    actorId: string | null
    keyId: string | null
    before: Record<string, unknown> | null
    after: Record<string, unknown> | null
    detail: Record<string, unknown>
    address: string | null
    requestId: string | null
  }[]
  nextCursor: string | null
}

type GetApiKeysIdUsage = {
  keyId: string
  from: string
  to: string
  lastUsedAt: string | null
  lastUsedAddress: string | null
  total: {
    accepted: number
    refused: {
      api_key_revoked?: number
      api_key_disabled?: number
      api_key_expired?: number
      api_key_owner_inactive?: number
      api_key_network_not_allowed?: number
      insufficient_permission?: number
      rate_limited?: number
      credits_exhausted?: number
    }
  }
  days: {
    day: string
    accepted: number
    refused: {
      api_key_revoked?: number
      api_key_disabled?: number
      api_key_expired?: number
      api_key_owner_inactive?: number
      api_key_network_not_allowed?: number
      insufficient_permission?: number
      rate_limited?: number
      credits_exhausted?: number
    }
  }[]
}

type GetApiKeysIdCredits = {
  remaining: number | null
  refill: {
    amount: number
    interval: 'daily' | 'monthly'
    dayOfMonth: number | null
  } | null
  nextRefillAt: string | null
}

type PostApiKeysIdCreditsBody = {
  set?: number
  add?: number
  subtract?: number
}

type PostApiKeysVerify =
  | {
      valid: true
      code: null
      keyId: string
      ownerId: string
      name: string
      permissions: string[]
      expiresAt: string | null
      metadata: Record<string, unknown> | null
      creditsRemaining: number | null
    }
  | {
      valid: false
      code:
        | 'api_key_invalid'
        | 'api_key_revoked'
        | 'api_key_disabled'
        | 'api_key_owner_inactive'
        | 'api_key_expired'
        | 'api_key_network_not_allowed'
        | 'insufficient_permission'
        | 'rate_limited'
        | 'credits_exhausted'
      keyId: string | null
      retryAfterSeconds: number | null
    }

type PostApiKeysVerifyBody = {
  key: string
  permissions?: string[]
  cost?: number
  address?: string
}

type PatchApiKeysIdBody = {
  name?: string
  enabled?: boolean
  permissions?: string[]
  expiresAt?: string | null
  metadata?: Record<string, unknown> | null
  allowedNetworks?: string[] | null
  limits?:
    | {
        name: string
        limit: number
        windowSeconds: number
      }[]
    | null
  credits?: {
    remaining: number
    refill?: {
      amount: number
      interval: 'daily' | 'monthly'
      dayOfMonth?: number
    } | null
  } | null
}

type PostApiKeysIdRotateBody = {
  graceSeconds?: number
}

type PostApiKeysTransfer = {
  items: {
    id: string
    name: string
    ownerId: string
    createdBy: string
    permissions: string[]
    enabled: boolean
    expiresAt: string | null
    start: string
    last4: string
    createdAt: string
    updatedAt: string
    rotatedFrom: string | null
    rotatedTo: string | null
    revokedAt: string | null
    lastUsedAt: string | null
    lastUsedAddress: string | null
    metadata: Record<string, unknown> | null
    allowedNetworks: string[] | null
    limits:
      | {
          name: string
          limit: number
          windowSeconds: number
        }[]
      | null
    metered: boolean
  }[]
  remaining: number
}

type PostApiKeysTransferBody = {
  from: string
  to: string
  keyIds?: string[]
}

type GetWhoami = {
  kind: 'user' | 'service' | 'key'
  ownerId: string
  permissions: string[]
  roles: string[]
  userId?: string
  clientId?: string
  keyId?: string
  sessionId?: string
}

type GetAccount = {
  id: string
  email: string
  displayName: string | null
  roles: string[]
  status: 'active' | 'disabled'
}

type PatchAccountBody = {
  displayName?: string | null
}

type GetDocuments = {
  items: {
    name: string
    etag: string
    createdAt: string
    updatedAt: string
  }[]
  nextCursor: string | null
}

type PutDocumentsName = {
  name: string
  etag: string
  createdAt: string
  updatedAt: string
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
  // POST /api-keys
  None<WrongData<Client['api-keys']['post'], PostApiKeys>>,
  None<WrongBody<Client['api-keys']['post'], PostApiKeysBody>>,
  None<WrongErrors<Client['api-keys']['post'], Status, Problem<Code>>>,
  // GET /api-keys
  None<WrongData<Client['api-keys']['get'], GetApiKeys>>,
  None<AnyQuery<Client['api-keys']['get']>>,
  None<WrongErrors<Client['api-keys']['get'], Status, Problem<Code>>>,
  // GET /api-keys/:id
  None<WrongData<ReturnType<Client['api-keys']>['get'], GetApiKeysId>>,
  None<WrongErrors<ReturnType<Client['api-keys']>['get'], Status, Problem<Code>>>,
  // POST /api-keys/find
  None<WrongData<Client['api-keys']['find']['post'], GetApiKeysId>>,
  None<WrongBody<Client['api-keys']['find']['post'], PostApiKeysFindBody>>,
  None<WrongErrors<Client['api-keys']['find']['post'], Status, Problem<Code>>>,
  // GET /api-keys/audit
  None<WrongData<Client['api-keys']['audit']['get'], GetApiKeysAudit>>,
  None<AnyQuery<Client['api-keys']['audit']['get']>>,
  None<WrongErrors<Client['api-keys']['audit']['get'], Status, Problem<Code>>>,
  // GET /api-keys/:id/usage
  None<WrongData<ReturnType<Client['api-keys']>['usage']['get'], GetApiKeysIdUsage>>,
  None<AnyQuery<ReturnType<Client['api-keys']>['usage']['get']>>,
  None<WrongErrors<ReturnType<Client['api-keys']>['usage']['get'], Status, Problem<Code>>>,
  // GET /api-keys/:id/credits
  None<WrongData<ReturnType<Client['api-keys']>['credits']['get'], GetApiKeysIdCredits>>,
  None<WrongErrors<ReturnType<Client['api-keys']>['credits']['get'], Status, Problem<Code>>>,
  // POST /api-keys/:id/credits
  None<WrongData<ReturnType<Client['api-keys']>['credits']['post'], GetApiKeysIdCredits>>,
  None<WrongBody<ReturnType<Client['api-keys']>['credits']['post'], PostApiKeysIdCreditsBody | undefined>>,
  None<WrongErrors<ReturnType<Client['api-keys']>['credits']['post'], Status, Problem<Code>>>,
  // POST /api-keys/verify
  None<WrongData<Client['api-keys']['verify']['post'], PostApiKeysVerify>>,
  None<WrongBody<Client['api-keys']['verify']['post'], PostApiKeysVerifyBody>>,
  None<WrongErrors<Client['api-keys']['verify']['post'], Status, Problem<Code>>>,
  // PATCH /api-keys/:id
  None<WrongData<ReturnType<Client['api-keys']>['patch'], GetApiKeysId>>,
  None<WrongBody<ReturnType<Client['api-keys']>['patch'], PatchApiKeysIdBody | undefined>>,
  None<WrongErrors<ReturnType<Client['api-keys']>['patch'], Status, Problem<Code>>>,
  // DELETE /api-keys/:id
  None<WrongData<ReturnType<Client['api-keys']>['delete'], void>>,
  None<WrongErrors<ReturnType<Client['api-keys']>['delete'], Status, Problem<Code>>>,
  // POST /api-keys/:id/rotate
  None<WrongData<ReturnType<Client['api-keys']>['rotate']['post'], PostApiKeys>>,
  None<
    WrongBody<ReturnType<Client['api-keys']>['rotate']['post'], PostApiKeysIdRotateBody | null | undefined>
  >,
  None<WrongErrors<ReturnType<Client['api-keys']>['rotate']['post'], Status, Problem<Code>>>,
  // POST /api-keys/transfer
  None<WrongData<Client['api-keys']['transfer']['post'], PostApiKeysTransfer>>,
  None<WrongBody<Client['api-keys']['transfer']['post'], PostApiKeysTransferBody>>,
  None<WrongErrors<Client['api-keys']['transfer']['post'], Status, Problem<Code>>>,
  // GET /auth/check
  None<WrongData<Client['auth']['check']['get'], void>>,
  None<AnyQuery<Client['auth']['check']['get']>>,
  None<WrongErrors<Client['auth']['check']['get'], Status, Problem<Code>>>,
  // GET /whoami
  None<WrongData<Client['whoami']['get'], GetWhoami>>,
  None<WrongErrors<Client['whoami']['get'], Status, Problem<Code>>>,
  // GET /account
  None<WrongData<Client['account']['get'], GetAccount>>,
  None<WrongErrors<Client['account']['get'], Status, Problem<Code>>>,
  // PATCH /account
  None<WrongData<Client['account']['patch'], GetAccount>>,
  None<WrongBody<Client['account']['patch'], PatchAccountBody | undefined>>,
  None<WrongErrors<Client['account']['patch'], Status, Problem<Code>>>,
  // DELETE /account
  None<WrongData<Client['account']['delete'], void>>,
  None<WrongErrors<Client['account']['delete'], Status, Problem<Code>>>,
  // GET /documents
  None<WrongData<Client['documents']['get'], GetDocuments>>,
  None<AnyQuery<Client['documents']['get']>>,
  None<WrongErrors<Client['documents']['get'], Status, Problem<Code>>>,
  // GET /documents/:name
  None<WrongData<ReturnType<Client['documents']>['get'], unknown>>,
  None<WrongErrors<ReturnType<Client['documents']>['get'], Status, Problem<Code>>>,
  // PUT /documents/:name
  None<WrongData<ReturnType<Client['documents']>['put'], PutDocumentsName>>,
  None<WrongBody<ReturnType<Client['documents']>['put'], NonNullable<unknown> | undefined>>,
  None<WrongErrors<ReturnType<Client['documents']>['put'], Status, Problem<Code>>>,
  // DELETE /documents/:name
  None<WrongData<ReturnType<Client['documents']>['delete'], void>>,
  None<WrongErrors<ReturnType<Client['documents']>['delete'], Status, Problem<Code>>>,
]

// A union of literals, or the checks of errors say little.
export type Codes = None<AnyString<Code>>
