import { defaultBodyLimits } from '../lib/body.ts'
import { trustedProxies } from '../lib/client-address.ts'
import { systemClock } from '../lib/clock.ts'
import { createGuard, type Outcome } from '../lib/guard.ts'
import { type AddressSource, addressOf, trustProxies } from '../lib/request.ts'
import { type Admitted, type AnswerHeaders, createAdmissions } from './admission.ts'
import { isAllowedFrom } from './allowed-networks.ts'
import { authenticateBy, createCredentialJudge } from './authenticate.ts'
import { createCeilings } from './ceilings.ts'
import { apikeyProblems } from './errors.ts'
import { createFailures, isFailureReason } from './failures.ts'
import { createInstallation } from './installation.ts'
import { setInternals } from './internals.ts'
import type { Authentication } from './judgement.ts'
import type { KeyUse } from './key-use.ts'
import type { Paid } from './ledger.ts'
import { type ApikeyOptions, checkOptions, defaultKeyLimits, defaultPrefix } from './options.ts'
import type { Principal } from './principal.ts'
import { asFailure, createRefusals } from './refusals.ts'
import { createRefusedEvents } from './refused-events.ts'
import { isUsageOutcome, type UsageOutcome } from './usage-outcomes.ts'
import type { verifyKeys } from './verify-model.ts'

let installed = 0

/** A credential that was found good. */
type Good = Extract<Authentication, { ok: true }>

/** For a key whose secret is right, and which is brought from somewhere else. */
const refuseNetwork = ({ keyId }: Principal): Authentication => ({
  ok: false,
  code: 'api_key_network_not_allowed',
  ...(keyId === undefined ? {} : { keyId }),
})

/**
 * The guard: an Elysia plugin without routes. On every route after it nobody enters unless let in: callers bring an
 * access token or an API key, and the route says which `permission` they need (`'any'` for no particular one), or
 * `credential: 'jwt'` where a key will not do.
 *
 * Nothing is opened or fetched before the app starts or the first request comes. Either one starts following the change
 * feed, since an app whose `fetch` is given to `Bun.serve` is never told that it started; `stop` ends that.
 *
 * @throws Error for options that can't be secure: a short secret, plain http to another machine, a bad prefix, a
 * proxy that is no network.
 */
export const apikey = <const Permission extends string>(options: ApikeyOptions<Permission>) => {
  checkOptions(options)
  const { roles, prefix = defaultPrefix, clock = systemClock } = options
  const proxies = trustedProxies(options.trustedProxies ?? [])
  const installation = createInstallation(options)
  const { open, cache, verifier, keySource, followed, events, emit, catchUp, start, stop } = installation
  const refusalOf = createRefusals()
  const failures = createFailures({ limits: options.failures ?? {}, clock })

  const judge = createCredentialJudge({
    store: { findCredential: async id => open().store.findCredential(id) },
    verifier,
    roles,
    clock,
    followed,
    cache,
    catchUp,
    useOf: key => open().useOf(key),
  })
  const admissions = createAdmissions({ ledger: () => open().ledger, clock, emit })
  const authenticate = authenticateBy(judge, prefix)

  const tellRefused = events === null ? null : createRefusedEvents({ clock, emit: events.emit })
  const noteUse = (keyId: string, outcome: UsageOutcome, address: string | null): void => {
    open().usage.record(keyId, outcome, address)
    if (outcome !== 'accepted') tellRefused?.(keyId, outcome, address)
  }
  const count = (keyId: string, outcome: UsageOutcome, request: Request, server: AddressSource): void =>
    noteUse(keyId, outcome, addressOf(request, server))

  const outcomeOf = (
    judged: Authentication,
    request: Request,
    { jwtOnly, server }: { jwtOnly: boolean; server: AddressSource },
  ): Outcome<Principal, Good> => {
    if (judged.ok) {
      const { networks, principal } = judged
      if (networks === undefined || isAllowedFrom(networks, addressOf(request, server))) return judged
      return outcomeOf(refuseNetwork(principal), request, { jwtOnly, server })
    }
    const { code, keyId, presentedId = null } = judged
    if (keyId !== undefined && isUsageOutcome(code)) count(keyId, code, request, server)
    const throttled = isFailureReason(code)
      ? failures.throttle(code, presentedId, addressOf(request, server))
      : null
    return { ok: false, refusal: throttled ?? refusalOf(code, jwtOnly) }
  }

  /** Counts what became of a use, and lets nobody in who is refused. @throws Refusal */
  const settle = (
    use: KeyUse,
    admitted: Admitted,
    request: Request,
    server: AddressSource,
    headers: AnswerHeaders,
  ): Paid | null => {
    if (!admitted.ok) {
      count(use.keyId, admitted.refusal.code, request, server)
      throw admitted.refusal
    }
    count(use.keyId, 'accepted', request, server)
    admissions.tell(use, admitted.paid, headers)
    return admitted.paid
  }

  installed += 1
  const guard = createGuard<Principal, Exclude<Permission, `${string}*${string}`> | typeof verifyKeys, Good>({
    name: `apikey/${installed}`,
    table: apikeyProblems,
    body: { ...defaultBodyLimits, maxBytes: options.maxBodyBytes ?? defaultBodyLimits.maxBytes },
    otherBodies: options.otherBodies ?? true,
    authenticate: (request, route) => {
      try {
        trustProxies(request, proxies)
        const judged = authenticate(request.headers, route)
        return judged instanceof Promise
          ? judged.then(answer => outcomeOf(answer, request, route), asFailure)
          : outcomeOf(judged, request, route)
      } catch (error) {
        return asFailure(error)
      }
    },
    onLacking: ({ use }, request, server) => {
      if (use !== undefined) count(use.keyId, 'insufficient_permission', request, server)
    },
    admit: ({ use }, request, server, headers) => {
      if (use !== undefined) settle(use, admissions.admit(use), request, server, headers)
    },
    charge: async ({ use }, cost, isFirst, request, server, headers) => {
      if (use === undefined) return null
      // Counted within its limits once, however much of it costs something.
      const charged = isFirst ? use : { ...use, windows: null }
      const admitted = await admissions.charge(charged, cost).catch(asFailure)
      if (isFirst || !admitted.ok) return settle(use, admitted, request, server, headers)
      admissions.tell(use, admitted.paid, headers)
      return admitted.paid
    },
  })
    .onStart(app => {
      try {
        start()
      } catch (error) {
        // The server listens already: Elysia starts it before it tells.
        app.server?.stop(true)
        throw error
      }
    })
    .onStop(() => {
      void stop()
    })

  setInternals(guard, {
    keys: () => open().keys,
    store: () => open().store,
    usage: () => open().usage,
    limiter: () => open().limiter,
    ledger: () => open().ledger,
    admissions,
    audit: () => open().audit,
    judgeKey: text => judge.key(text),
    noteUse,
    cache,
    feed: () => open().feed,
    clock,
    failures,
    roles,
    ceilings: createCeilings({ limits: options.defaultLimits ?? defaultKeyLimits, ...options.ceilings }),
    health: async () => {
      try {
        const { database, feed: followed } = open()
        const feedLagSeconds = followed?.lagSeconds() ?? null
        database.query('SELECT 1').get()
        await keySource.find(undefined)
        return { status: followed?.status() ?? 'ok', feedLagSeconds }
      } catch {
        return { status: 'unavailable', feedLagSeconds: null }
      }
    },
    stop,
  })
  return guard
}

/** An installed plugin, as `apikeyRoutes` takes it. */
export type Apikey<Permission extends string> = ReturnType<typeof apikey<Permission>>
