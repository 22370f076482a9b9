import { type Context, type DocumentDecoration, Elysia } from 'elysia'
import { type BodyLimits, RefusedBody, readJson } from './body.ts'
import { type Cost, type CostedRequest, checkCost, statusOf, toCost } from './cost.ts'
import { Failure } from './failure.ts'
import { checkGuarded, unnamed } from './guard-start.ts'
import { createInsufficient } from './insufficient.ts'
import type { ErrorAnswer } from './problem.ts'
import { type ProblemTable, type Refusal, respondIn } from './problem-answer.ts'
import { type AddressSource, factsOf, pathOf } from './request.ts'
import { createRequirement, type Needed, noteRequirement, showNeed } from './requirement.ts'

/** What a guard must know of whoever it lets in. */
export type GuardedPrincipal = {
  readonly kind: 'user' | 'service' | 'key'
  readonly ownerId: string
  readonly permissions: readonly string[]
}

/** Whose credential is good. */
export type Accepted<Principal> = { readonly ok: true; readonly principal: Principal }

/** Who is let in, or why not. */
export type Outcome<Principal, Accept extends Accepted<Principal> = Accepted<Principal>> =
  | Accept
  | { readonly ok: false; readonly refusal: Refusal }

/** What a guard paid for a request. */
export type Payment = { refund(): unknown }

export type GuardOptions<Principal extends GuardedPrincipal, Accept extends Accepted<Principal>> = {
  /** Tells guards of one process apart: Elysia takes two plugins of one name and seed for the same. */
  readonly name: string
  /** Judges the credential in the headers; `jwtOnly` where an API key will not do, which is then not looked up. */
  readonly authenticate: (
    request: Request,
    options: { jwtOnly: boolean; server: AddressSource },
  ) => Outcome<Principal, Accept> | Promise<Outcome<Principal, Accept>>
  /** Told of each caller who is not let in for want of a permission: once a request. */
  readonly onLacking?: (accepted: Accept, request: Request, server: AddressSource) => void
  /**
   * The last step before a handler that costs nothing: of a caller who holds what the route asks for, after the request
   * was found valid. Once a request, and on the path of each. What it throws refuses the caller.
   */
  readonly admit?: (accepted: Accept, request: Request, server: AddressSource, headers: Headers) => void
  /**
   * The same for a handler that has a `cost`, in whole credits, and for each cost where groups around it have one as
   * well: `isFirst` for the first. What was paid is given back where a later one is refused, or the answer is 5xx.
   */
  readonly charge?: (
    accepted: Accept,
    cost: number,
    isFirst: boolean,
    request: Request,
    server: AddressSource,
    headers: Headers,
  ) => Promise<Payment | null>
  /** The codes that the guard itself answers with in an app that has no `problems()`. */
  readonly table: ProblemTable<string>
  readonly body: BodyLimits
  /** Whether bodies other than JSON are left to the host app; otherwise they are refused with 415. */
  readonly otherBodies: boolean
}

type Headers = Context['set']['headers']

/**
 * Permissions that a request itself names: all of them are needed, beside what the route needs. Asked of whoever has
 * that.
 *
 * @throws Failure for a request that names them wrongly.
 */
export type AskedPermissions = (request: Request) => readonly string[]

/** Looks at a request before it is counted or paid for. @throws Failure for one that is refused. */
export type CheckRequest = (content: {
  readonly body: unknown
  readonly params: Readonly<Record<string, string>>
}) => void

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
export const createGuard = <
  Principal extends GuardedPrincipal,
  const Permission extends string,
  Accept extends Accepted<Principal> = Accepted<Principal>,
>({
  name,
  authenticate,
  onLacking = () => {},
  admit: admitCaller = () => {},
  charge: chargeCaller = async () => null,
  table,
  body: limits,
  otherBodies,
}: GuardOptions<Principal, Accept>) => {
  type Judged = Outcome<Principal, Accept> | { readonly ok: false; readonly refusal: unknown }

  /** A class of each guard's own, so that no other guard's admission passes for one. */
  class Admission extends Found {
    readonly outcome: Judged
    readonly server: AddressSource
    body: RefusedBody | null = null
    /** Set when a permission was asked for and held; a second one that is lacking throws, and nothing comes after. */
    isAllowed = false
    /** Set when the caller was let in, or where that is left to the cost of the route. */
    isAdmitted = false
    /** What was paid so far. */
    payments: Payment[] | null = null

    constructor(outcome: Judged, server: AddressSource, earlier: Found | undefined) {
      super(earlier)
      this.outcome = outcome
      this.server = server
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

  const admit = (request: Request, server: AddressSource, outcome: Judged): Admission => {
    const admission = new Admission(outcome, server, request[admissionKey])
    if (outcome.ok) factsOf(request).actorId = outcome.principal.ownerId
    request[admissionKey] = admission
    return admission
  }

  /** Judged once for a request, by whichever hook comes first. */
  const admissionFor = (
    request: Request,
    server: AddressSource,
    jwtOnly: boolean,
  ): Admission | Promise<Admission> => {
    const known = admissionOf(request)
    if (known !== null) return known
    const judged = judge(request, server, jwtOnly)
    return judged instanceof Promise
      ? judged.then(outcome => admit(request, server, outcome))
      : admit(request, server, judged)
  }

  /** The last step before the handler, after the content of the body was found good. */
  const handOut = ({ request, set }: { request: Request; set: Context['set'] }): { principal: Principal } => {
    const admission = admissionOf(request)
    if (!admission?.outcome.ok || !admission.isAllowed)
      throw new Failure('internal_error', {
        cause: new Error(unnamed(request.method, pathOf(request.url))),
      })
    const { outcome } = admission
    if (!admission.isAdmitted) {
      admission.isAdmitted = true
      admitCaller(outcome, request, admission.server, set.headers)
    }
    return { principal: outcome.principal }
  }

  /** Takes what a route costs. Where groups around it cost something as well, each takes its own, or none does. */
  const charge = async (
    { request, set, ...content }: Omit<CostedRequest<Principal>, 'principal'> & { set: Context['set'] },
    cost: Cost<Principal>,
  ): Promise<void> => {
    const admission = admissionOf(request)
    if (!admission?.outcome.ok || !admission.isAllowed) throw new Failure('internal_error')
    const { outcome, payments, server } = admission
    const { principal } = outcome
    const isFirst = payments === null
    const paid = payments ?? []
    admission.payments = paid
    try {
      const credits = typeof cost === 'number' ? cost : toCost(cost({ principal, request, ...content }))
      const payment = await chargeCaller(outcome, credits, isFirst, request, server, set.headers)
      if (payment !== null) paid.push(payment)
    } catch (error) {
      for (const payment of paid.splice(0)) payment.refund()
      throw error
    }
  }

  /** By the first who knows the status of the answer. */
  const refundFailed = (request: Request, status: number): void => {
    const payments = admissionOf(request)?.payments?.splice(0) ?? []
    if (status >= 500) for (const payment of payments) payment.refund()
  }

  const answerFailure: ErrorAnswer = ({ error, request, set }) => {
    if (error instanceof Failure) return respondIn({ request, set }, table, error) ?? undefined
  }

  return new Elysia({ name: 'latchkey/guard', seed: name })
    .onError({ as: 'scoped' }, answerFailure)
    .macro({
      permission: (needed: Needed<Permission>) => {
        const requirement = createRequirement(needed)
        const { isMet } = requirement
        const insufficient = createInsufficient(requirement)
        // The hooks of the route, filled while it is registered, whatever the order of its options.
        let hooks: object = {}
        let known: boolean | undefined
        const jwtOnly = (): boolean => {
          known ??= extensionOf(hooks, 'x-credential') === 'jwt'
          return known
        }
        const transform = async ({ request, server }: { request: Request; server: AddressSource }) => {
          const found = admissionFor(request, server, jwtOnly())
          const admission = found instanceof Promise ? await found : found
          const { outcome, body } = admission
          if (!outcome.ok) throw outcome.refusal
          if (body !== null) throw body.failure
          const { principal } = outcome
          if (!isMet(principal.permissions)) {
            onLacking(outcome, request, server)
            throw principal.kind === 'key' ? insufficient.key : insufficient.token
          }
          admission.isAllowed = true
        }
        noteRequirement(transform, requirement)
        return {
          detail: operation({ 'x-permission': showNeed([requirement]) }),
          introspect: (route: object) => {
            hooks = route
          },
          // Elysia gives what a module resolves to that module alone, and what it names in macros to whoever uses it: a
          // route that has only the macro is let in here.
          beforeHandle: ({ request, set }: Pick<Context, 'request' | 'set'>) => {
            handOut({ request, set })
          },
          parse: async ({ request, server }) => {
            const found = admissionFor(request, server, jwtOnly())
            const admission = found instanceof Promise ? await found : found
            if (!admission.outcome.ok) return refused
            const isJson = /^application\/json\b/i.test(request.headers.get('content-type') ?? '')
            if (otherBodies && !isJson) return
            const body = await readJson(request, limits)
            if (body instanceof RefusedBody) admission.body = body
            return body
          },
          transform,
        }
      },
      // `permission` reads this where both stand on one route, and then looks no key up; where one of them came from a
      // group or guard around the route, it is enforced here.
      credential: (_kind: 'jwt') => ({
        detail: operation({ 'x-credential': 'jwt' }),
        transform: async ({ request, server }) => {
          const found = admissionFor(request, server, true)
          const { outcome } = found instanceof Promise ? await found : found
          if (!outcome.ok) throw outcome.refusal
          if (outcome.principal.kind === 'key') throw new Failure('jwt_required')
        },
      }),
      cost: (cost: Cost<Principal>) => {
        checkCost(cost)
        return {
          detail: operation({ 'x-cost': typeof cost === 'number' ? cost : 'varies' }),
          transform: async ({ request, server }) => {
            const found = admissionFor(request, server, false)
            const admission = found instanceof Promise ? await found : found
            admission.isAdmitted = true
          },
          // Two functions: of a hook that asks for them Elysia takes it that query and body are to be read.
          // Among what is resolved, since a route's own beforeHandle may answer, and comes after that.
          resolve:
            typeof cost === 'number'
              ? async ({ request, set }: CostContext) =>
                  charge({ request, set, body: undefined, query: {}, params: {} }, cost)
              : async ({ request, set, body, query, params }: CostContext) =>
                  charge({ request, set, body, query, params }, cost),
          afterResponse: ({ request, set, response }: CostContext & { response: unknown }) =>
            refundFailed(request, statusOf(response, set)),
          // What no error hook answers, Elysia answers by itself, and then there is no afterResponse. That comes in the
          // next turn otherwise, and the status of what Elysia answers is known by then.
          error: ({ request, set }: Pick<CostContext, 'request' | 'set'>) => {
            setImmediate(() => setImmediate(() => refundFailed(request, statusOf(undefined, set))))
          },
        }
      },
      // What a route refuses for the form of the request: after its permission, on which it stands as `asked` does, and
      // before anything is counted or paid. A hook of the route's own would go before the credential is judged.
      check: (check: CheckRequest) => ({
        transform: ({ request, body, params }: Pick<Context, 'request' | 'body' | 'params'>) => {
          const admission = admissionOf(request)
          if (!admission?.outcome.ok || !admission.isAllowed) {
            throw new Failure('internal_error', { cause: new Error('check stands before permission') })
          }
          check({ body, params })
        },
      }),
      // Stands after `permission` on a route, whose hooks go first; where it does not, nobody gets in.
      asked: (ask: AskedPermissions) => ({
        transform: ({ request }: { request: Request }) => {
          const admission = admissionOf(request)
          if (!admission?.outcome.ok || !admission.isAllowed) {
            throw new Failure('internal_error', { cause: new Error('asked stands before permission') })
          }
          const { outcome } = admission
          const { kind, permissions } = outcome.principal
          const needed = ask(request)
          if (needed.length === 0) return
          const requirement = createRequirement(needed)
          if (requirement.isMet(permissions)) return
          onLacking(outcome, request, admission.server)
          const insufficient = createInsufficient(requirement)
          throw kind === 'key' ? insufficient.key : insufficient.token
        },
      }),
    })
    .resolve({ as: 'scoped' }, handOut)
    .onStart(app => checkGuarded(app, handOut))
}

const refused = Symbol('refused')

type CostContext = Pick<Context, 'request' | 'set' | 'body' | 'query' | 'params'>
