import { type DocumentDecoration, Elysia } from 'elysia'
import { type BodyLimits, RefusedBody, readJson } from './body.ts'
import { Failure } from './failure.ts'
import { allows, isPermission } from './permission.ts'
import type { ErrorAnswer } from './problem.ts'
import { type ProblemTable, Refusal, respondIn } from './problem-answer.ts'
import { type AddressSource, factsOf, pathOf } from './request.ts'

/** What a guard must know of whoever it lets in. */
export type GuardedPrincipal = {
  readonly kind: 'user' | 'service' | 'key'
  readonly ownerId: string
  readonly permissions: readonly string[]
}

/** Who is let in, or why not. */
export type Outcome<Principal> =
  | { readonly ok: true; readonly principal: Principal }
  | { readonly ok: false; readonly refusal: Refusal }

export type GuardOptions<Principal extends GuardedPrincipal> = {
  /** Tells guards of one process apart: Elysia takes two plugins of one name and seed for the same. */
  readonly name: string
  /** Judges the credential in the headers; `jwtOnly` where an API key will not do, which is then not looked up. */
  readonly authenticate: (
    request: Request,
    options: { jwtOnly: boolean; server: AddressSource },
  ) => Outcome<Principal> | Promise<Outcome<Principal>>
  /**
   * Told of each caller whose credential is good, and whether the route lets them in; once, unless of several
   * permissions that a route asks for a later one is lacking. On the path of every request.
   */
  readonly onDecided?: (
    principal: Principal,
    isAllowed: boolean,
    request: Request,
    server: AddressSource,
  ) => void
  /** The codes that the guard itself answers with in an app that has no `problems()`. */
  readonly table: ProblemTable<string>
  readonly body: BodyLimits
  /** Whether bodies other than JSON are left to the host app; otherwise they are refused with 415. */
  readonly otherBodies: boolean
}

/** OpenAPI operation members of our own. */
const operation = (extension: Record<`x-${string}`, unknown>): DocumentDecoration => ({ ...extension })

const extensionOf = (hooks: object, name: `x-${string}`): unknown => {
  const detail = 'detail' in hooks ? hooks.detail : null
  return Object.entries(detail ?? {}).find(([key]) => key === name)?.[1]
}

const admissionKey = Symbol('admission')

declare global {
  interface Request {
    /** What guards found of it. On the request itself: a `WeakMap` would take longer than all else on a hot path. */
    [admissionKey]?: Found
  }
}

/** What a guard found of a request, before what those found that were asked earlier: several can cover one route. */
class Found {
  readonly earlier: Found | undefined

  constructor(earlier: Found | undefined) {
    this.earlier = earlier
  }
}

/**
 * Guards every route after it: nobody enters unless the route names a `permission` and the caller holds it.
 *
 * Elysia runs parse → transform → validation → resolve → handler. The credential is judged in the first of
 * these that a route has, so that nobody's body is read on trust; the refusal is thrown in transform, since a
 * throw while parsing becomes a 400; and resolve, which is the guard's own and covers every route, hands the
 * principal out or, where no `permission` put one there, refuses. All functions are marked `async` or plainly
 * synchronous: Elysia goes by their text.
 */
export const createGuard = <Principal extends GuardedPrincipal, const Permission extends string>({
  name,
  authenticate,
  onDecided = () => {},
  table,
  body: limits,
  otherBodies,
}: GuardOptions<Principal>) => {
  type Judged = Outcome<Principal> | { readonly ok: false; readonly refusal: unknown }

  /** A class of each guard's own, so that no other guard's admission passes for one. */
  class Admission extends Found {
    readonly outcome: Judged
    body: RefusedBody | null = null
    /** Set when the permission of the route has been found with the caller. */
    isAllowed = false
    /** Set when it has been told that the caller is let in: a route can ask for more than one permission. */
    isTold = false

    constructor(outcome: Judged, earlier: Found | undefined) {
      super(earlier)
      this.outcome = outcome
    }
  }

  const admissionOf = ({ [admissionKey]: last }: Request): Admission | null => {
    for (let found = last; found !== undefined; found = found.earlier) {
      if (found instanceof Admission) return found
    }
    return null
  }

  const unjudged = (error: unknown): Judged => ({ ok: false, refusal: error })

  /** What can't be judged is refused like what is judged bad, and thrown where a throw keeps its meaning. */
  const judge = (request: Request, server: AddressSource, jwtOnly: boolean): Judged | Promise<Judged> => {
    try {
      const outcome = authenticate(request, { jwtOnly, server })
      return outcome instanceof Promise ? outcome.catch(unjudged) : outcome
    } catch (error) {
      return unjudged(error)
    }
  }

  const admit = (request: Request, outcome: Judged): Admission => {
    const admission = new Admission(outcome, request[admissionKey])
    if (outcome.ok) factsOf(request).actorId = outcome.principal.ownerId
    request[admissionKey] = admission
    return admission
  }

  const insufficient = ({ kind }: Principal): Refusal =>
    new Refusal(
      'insufficient_permission',
      kind === 'key' ? {} : { 'www-authenticate': 'Bearer error="insufficient_scope"' },
    )

  const handOut = ({ request }: { request: Request }): { principal: Principal } => {
    const admission = admissionOf(request)
    if (!admission?.outcome.ok || !admission.isAllowed)
      throw new Failure('internal_error', {
        cause: new Error(unnamed(request.method, pathOf(request.url))),
      })
    return { principal: admission.outcome.principal }
  }

  const answerFailure: ErrorAnswer = ({ error, request, set }) => {
    if (error instanceof Failure) return respondIn({ request, set }, table, error) ?? undefined
  }

  return new Elysia({ name: 'latchkey/guard', seed: name })
    .onError({ as: 'scoped' }, answerFailure)
    .macro({
      permission: (permission: Permission | 'any') => {
        if (permission !== 'any' && !isPermission(permission)) {
          throw new TypeError(`permission takes resource:action or "any", not ${JSON.stringify(permission)}`)
        }
        // The hooks of the route, filled while it is registered, whatever the order of its options.
        let hooks: object = {}
        let known: boolean | undefined
        const jwtOnly = (): boolean => {
          known ??= extensionOf(hooks, 'x-credential') === 'jwt'
          return known
        }
        return {
          detail: operation({ 'x-permission': permission }),
          introspect: (route: object) => {
            hooks = route
          },
          parse: async ({ request, server }) => {
            const judged = judge(request, server, jwtOnly())
            const admission = admit(request, judged instanceof Promise ? await judged : judged)
            if (!admission.outcome.ok) return refused
            const isJson = /^application\/json\b/i.test(request.headers.get('content-type') ?? '')
            if (otherBodies && !isJson) return
            const body = await readJson(request, limits)
            if (body instanceof RefusedBody) admission.body = body
            return body
          },
          transform: async ({ request, server }) => {
            let admission = admissionOf(request)
            if (admission === null) {
              const judged = judge(request, server, jwtOnly())
              admission = admit(request, judged instanceof Promise ? await judged : judged)
            }
            const { outcome, body } = admission
            if (!outcome.ok) throw outcome.refusal
            if (body !== null) throw body.failure
            const { principal } = outcome
            admission.isAllowed = permission === 'any' || allows(principal.permissions, permission)
            if (!admission.isAllowed || !admission.isTold) {
              admission.isTold = true
              onDecided(principal, admission.isAllowed, request, server)
            }
            if (!admission.isAllowed) throw insufficient(principal)
          },
        }
      },
      // `permission` reads this where both stand on one route, and then looks no key up; where one of them came from a
      // group or guard around the route, it is enforced here.
      credential: (_kind: 'jwt') => ({
        detail: operation({ 'x-credential': 'jwt' }),
        beforeHandle: ({ request }: { request: Request }) => {
          const outcome = admissionOf(request)?.outcome
          if (!outcome?.ok || outcome.principal.kind === 'key') throw new Failure('jwt_required')
        },
      }),
    })
    .resolve({ as: 'scoped' }, handOut)
    .onStart(app => {
      const problems = app.routes.flatMap(({ method, path, handler, hooks }) => {
        const isGuarded = [hooks.beforeHandle].flat().some(hook => hook?.fn === handOut)
        if (!isGuarded) return []
        if (typeof extensionOf(hooks, 'x-permission') !== 'string') return [unnamed(method, path)]
        // Without ahead-of-time compilation Elysia runs no hook for what is mounted.
        if (hooks.config?.mount !== undefined && app.config.aot === false) {
          return [`${method} ${path} is mounted, which can't be guarded with aot: false`]
        }
        // Elysia answers these without running any hook once an app has an afterHandle.
        return typeof handler === 'function'
          ? []
          : [`${method} ${path} is guarded, so its handler must be a function`]
      })
      if (problems.length === 0) return
      // The server listens already: Elysia starts it before it tells.
      app.server?.stop(true)
      throw new Error(`This app can't start:\n${problems.map(problem => `- ${problem}`).join('\n')}`)
    })
}

const refused = Symbol('refused')

const unnamed = (method: string, path: string): string =>
  `${method} ${path} is guarded and names no permission; say permission: 'any' if every caller may`
