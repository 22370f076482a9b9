import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { ApikeyCode } from '../apikey/index.ts'
import { type Clock, systemClock } from '../lib/clock.ts'
import { Failure, type FieldError } from '../lib/failure.ts'
import { idPattern } from '../lib/id.ts'
import { Refusal } from '../lib/problem-answer.ts'
import { createLoginClient } from '../login/client.ts'
import type { ServiceCode } from './errors.ts'

/** What this service needs of a user; whatever else `login` answers is not passed on. */
export const Profile = Type.Object({
  id: Type.String({ pattern: idPattern('usr') }),
  email: Type.String({ maxLength: 320 }),
  displayName: Type.Union([Type.String({ maxLength: 400 }), Type.Null()]),
  roles: Type.Array(Type.String({ maxLength: 40 }), { maxItems: 64 }),
  status: Type.Union([Type.Literal('active'), Type.Literal('disabled')]),
})
export type Profile = Static<typeof Profile>

const ProblemBody = Type.Object({
  code: Type.String({ maxLength: 64 }),
  errors: Type.Optional(
    Type.Array(
      Type.Object({ field: Type.String({ maxLength: 128 }), rule: Type.String({ maxLength: 512 }) }),
      {
        maxItems: 20,
      },
    ),
  ),
})

const clientIdPattern = '^cli_[0-9A-Za-z_-]{1,60}$'

/** What this service needs of a service account. */
export const ServiceAccount = Type.Object({
  id: Type.String({ pattern: clientIdPattern }),
  scopes: Type.Array(Type.String({ maxLength: 81 }), { maxItems: 32 }),
  status: Type.Union([Type.Literal('active'), Type.Literal('disabled')]),
})
export type ServiceAccount = Static<typeof ServiceAccount>

export type LoginGateway = {
  /** A user by id, as the caller may see them; null when there is none. */
  findUser(id: string, authorization: string): Promise<Profile | null>
  /** A service account by id, as the caller may see it; null when there is none, or it is not active. */
  findClient(id: string, authorization: string): Promise<ServiceAccount | null>
  ownProfile(authorization: string): Promise<Profile>
  changeOwnProfile(changes: { displayName?: string | null }, authorization: string): Promise<Profile>
  closeOwnAccount(authorization: string): Promise<void>
}

export type LoginGatewayOptions = {
  readonly url: string
  readonly timeoutMilliseconds?: number
  readonly clock?: Clock
}

const maxBytes = 65_536
/** Tries of a call that may be repeated without harm. */
const maxTries = 3
/** Failed calls in a row after which `login` is left alone... */
const breakAfter = 5
/** ...for this long. */
const breakMilliseconds = 2_000

const unreachable = (cause: unknown) =>
  new Failure<ServiceCode>('login_unreachable', { retryAfterSeconds: 2, cause })
const badAnswer = (cause: unknown) => new Failure<ServiceCode>('login_bad_answer', { cause })

/** Reads an answer of at most 64 KiB, so that nobody on the other side can fill this process. */
const bounded = async (response: Response): Promise<Response> => {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength
    if (size > maxBytes) throw badAnswer(new Error(`more than ${maxBytes} bytes`))
    chunks.push(chunk)
  }
  const hasBody = size > 0 && response.status !== 204 && response.status !== 304
  return new Response(hasBody ? Buffer.concat(chunks) : null, {
    status: response.status,
    headers: response.headers,
  })
}

/** What an Eden call came to. `error.value` is whatever was answered, so nothing in it is taken on trust. */
type Answer = { data: unknown; error: { status: unknown; value: unknown } | null; status: number }

const fieldErrorsOf = (value: unknown): readonly FieldError[] | undefined =>
  Value.Check(ProblemBody, value) ? value.errors : undefined

/** Whether `login` itself gave this answer: a proxy on the way has a 404 of its own. */
const isProblem = ({ error }: Answer, code: string): boolean =>
  Value.Check(ProblemBody, error?.value) && error?.value.code === code

/** The caller's own fault, as this service says it; anything else is the other service's. */
const refusalOf = (answer: Answer): Failure => {
  const { status, error } = answer
  const invalidToken = (['token_invalid', 'token_expired'] as const).find(code => isProblem(answer, code))
  if (status === 401 && invalidToken !== undefined) {
    return new Refusal<ApikeyCode>(invalidToken, { 'www-authenticate': 'Bearer error="invalid_token"' })
  }
  if (status === 403 && isProblem(answer, 'insufficient_permission')) {
    return new Refusal<ApikeyCode>('insufficient_permission', {
      'www-authenticate': 'Bearer error="insufficient_scope"',
    })
  }
  if (status === 409 && isProblem(answer, 'last_admin')) return new Failure<ServiceCode>('last_admin')
  const errors = fieldErrorsOf(error?.value)
  if (status === 422 && errors !== undefined) return new Failure<ApikeyCode>('invalid_request', { errors })
  return badAnswer(new Error(`login answered ${status}`))
}

const unexpectedBody = ({ status }: Answer) =>
  badAnswer(new Error(`an answer of status ${status} with another body than expected`))

const expectProfile = (answer: Answer): Profile => {
  if (answer.error !== null) throw refusalOf(answer)
  const { data } = answer
  if (answer.status !== 200 || !Value.Check(Profile, data)) throw unexpectedBody(answer)
  const { id, email, displayName, roles, status } = data
  return { id, email, displayName, roles, status }
}

const expectServiceAccount = (answer: Answer): ServiceAccount => {
  if (answer.error !== null) throw refusalOf(answer)
  const { data } = answer
  if (answer.status !== 200 || !Value.Check(ServiceAccount, data)) throw unexpectedBody(answer)
  const { id, scopes, status } = data
  return { id, scopes, status }
}

/**
 * Users and service accounts on `login`, with the caller's own token: this service holds no right over them. Calls end after 3 s at
 * most; those that change nothing are tried again; a `login` that fails again and again is left alone for a moment.
 *
 * @throws Failure `login_unreachable` (503), `login_timeout` (504), `login_bad_answer` (502), or what `login` held
 * against the caller.
 */
export const createLoginGateway = ({
  url,
  timeoutMilliseconds = 3_000,
  clock = systemClock,
}: LoginGatewayOptions): LoginGateway => {
  let failures = 0
  let closedUntil = Number.NEGATIVE_INFINITY

  const attempt = async (
    call: (client: ReturnType<typeof createLoginClient>) => Promise<Answer>,
    authorization: string,
    signal: AbortSignal,
  ): Promise<Answer> => {
    // Eden hides what a fetch throws, so it is kept here.
    let thrown: unknown = null
    const fetcher = Object.assign(
      async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
        try {
          // A redirect is not followed: it is an answer, and a bad one.
          return await bounded(await fetch(input, { ...init, redirect: 'manual', signal }))
        } catch (error) {
          thrown = error
          throw error
        }
      },
      { preconnect: fetch.preconnect },
    )
    const answer = await call(createLoginClient(url, { fetcher, headers: { authorization } })).catch(
      // What it does not hide: a body that is not what its media type says.
      (error: unknown) => {
        throw badAnswer(error)
      },
    )
    if (thrown === null) {
      if (answer.status === 503) throw unreachable(new Error('login answered 503'))
      if (answer.status >= 500) throw badAnswer(new Error(`login answered ${answer.status}`))
      return answer
    }
    if (thrown instanceof Failure) throw thrown
    if (signal.aborted) {
      throw new Failure<ServiceCode>('login_timeout', { retryAfterSeconds: 2, cause: thrown })
    }
    throw unreachable(thrown)
  }

  const ask = async (
    call: (client: ReturnType<typeof createLoginClient>) => Promise<Answer>,
    authorization: string,
    { repeatable }: { repeatable: boolean },
  ): Promise<Answer> => {
    if (clock() < closedUntil) throw unreachable(new Error('login failed several times just now'))
    // One limit for all tries together: the caller is waiting.
    const signal = AbortSignal.timeout(timeoutMilliseconds)
    for (let tries = 1; ; tries += 1) {
      try {
        const answer = await attempt(call, authorization, signal)
        failures = 0
        return answer
      } catch (error) {
        const isWorthIt = error instanceof Failure && error.code === 'login_unreachable'
        if (!repeatable || !isWorthIt || tries === maxTries || signal.aborted) {
          failures += 1
          if (failures >= breakAfter) closedUntil = clock() + breakMilliseconds
          throw error
        }
        await Bun.sleep(50 * tries * (0.5 + Math.random()))
      }
    }
  }

  const isUserId = new RegExp(idPattern('usr'))
  const isClientId = new RegExp(clientIdPattern)

  return {
    findUser: async (id, authorization) => {
      // Eden puts ids into the path as they are: anything but an id could name another route.
      if (!isUserId.test(id)) return null
      const answer = await ask(client => client.users({ id }).get(), authorization, { repeatable: true })
      if (answer.status === 404 && isProblem(answer, 'user_not_found')) return null
      const profile = expectProfile(answer)
      if (profile.id !== id) throw badAnswer(new Error('the answer is about another user'))
      return profile
    },
    findClient: async (id, authorization) => {
      if (!isClientId.test(id)) return null
      const answer = await ask(client => client.clients({ id }).get(), authorization, { repeatable: true })
      if (answer.status === 404 && isProblem(answer, 'client_not_found')) return null
      const found = expectServiceAccount(answer)
      if (found.id !== id) throw badAnswer(new Error('the answer is about another service account'))
      return found.status === 'active' ? found : null
    },
    ownProfile: async authorization =>
      expectProfile(await ask(client => client.users.me.get(), authorization, { repeatable: true })),
    changeOwnProfile: async (changes, authorization) =>
      // Setting the same name twice is the same as once.
      expectProfile(await ask(client => client.users.me.patch(changes), authorization, { repeatable: true })),
    closeOwnAccount: async authorization => {
      const answer = await ask(client => client.users.me.delete(), authorization, { repeatable: false })
      if (answer.error !== null) throw refusalOf(answer)
      if (answer.status !== 204) throw badAnswer(new Error(`login answered ${answer.status} to a deletion`))
    },
  }
}
