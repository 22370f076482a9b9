import { Failure } from '../lib/failure.ts'
import { isDatabaseUnavailable } from '../lib/sqlite.ts'
import type { Admission, CreditStore, Debit, Return, Spent } from './credit-store.ts'

/** A request that was paid for. */
export type Paid = {
  readonly ok: true
  /** Null where nothing was taken: the request cost nothing, or the key is not metered any more. */
  readonly remaining: number | null
  /** What a full balance is, to tell a low one by; null likewise. */
  readonly full: number | null
  /**
   * Gives the credits back, once however often it is called; the limits stay as they are. Resolves when it is on the
   * disk, and never rejects: what can't be written now is tried again. Until then a crash leaves the request paid.
   */
  refund(): Promise<void>
}

export type Charge = Paid | Exclude<Spent, { ok: true }>

/** Gathers what requests cost, so that those that come together share a commit. */
export type Ledger = {
  /**
   * Takes the cost of a request and counts it within its limits, both or neither. It is on the disk when this resolves.
   * `cost` is whole credits; 0 passes at any balance, and at once.
   *
   * @throws Failure `unavailable` when another process holds the file for too long, or too many wait already.
   */
  charge(lineageId: string, cost: number, limits?: Admission): Promise<Charge>
  /**
   * Writes all that waits, returned credits above all. For the end.
   *
   * @throws Failure `unavailable` as `charge` does; what is returned stays, and is tried again.
   */
  flush(): Promise<void>
}

export type LedgerOptions = {
  readonly store: CreditStore
  /** Requests that wait at most. */
  readonly maxWaiting?: number
  /** Milliseconds that only go forward. */
  readonly monotonic?: () => number
}

type Waiting = Debit & {
  readonly resolve: (charge: Charge) => void
  readonly reject: (error: unknown) => void
}

type Returning = Return & { readonly done: () => void }

/** Debits of a commit: about 2 ms of work where each is of another key. */
const mostTogether = 256

/** From one commit to the next, milliseconds. The event loop stands still while the disk works. */
const shortestPause = 2
/** At most a third of the time goes to commits, so a slow disk gets longer pauses, up to `longestPause` ms. */
const pauseFactor = 3
const longestPause = 50

/** How long after a failure what is returned is tried again, milliseconds, where no request comes before. */
const retryMilliseconds = 1_000

/** Not so of a database that was closed. */
const mayPass = (error: unknown): boolean => error instanceof Failure || isDatabaseUnavailable(error)

const nothing = async (): Promise<void> => undefined

export const createLedger = ({
  store,
  maxWaiting = 10_000,
  monotonic = () => performance.now(),
}: LedgerOptions): Ledger => {
  const waiting: Waiting[] = []
  const returning: Returning[] = []
  let active: Promise<unknown> | null = null
  let isScheduled = false
  let againAt = Number.NEGATIVE_INFINITY

  const giveBack = (lineageId: string, cost: number): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    returning.push({ lineageId, cost, done: resolve })
    schedule()
    return promise
  }

  const toCharge = (spent: Spent, { lineageId, cost }: Debit): Charge => {
    if (!spent.ok) return spent
    if (spent.remaining === null) return { ...spent, refund: nothing }
    let refunded: Promise<void> | null = null
    return {
      ...spent,
      refund: () => {
        refunded ??= giveBack(lineageId, cost)
        return refunded
      },
    }
  }

  /** One transaction. Resolves to what it failed with, or null. */
  const commit = async (): Promise<unknown> => {
    const debits = waiting.splice(0, mostTogether)
    const returns = returning.splice(0, mostTogether)
    const startedAt = monotonic()
    try {
      // The first attempt is made before this gives a promise, so this is how long the loop stood still.
      const deciding = store.spendAll(debits, returns)
      const took = monotonic() - startedAt
      againAt = startedAt + Math.min(Math.max(took * pauseFactor, shortestPause), longestPause)
      const outcomes = await deciding
      for (const { done } of returns) done()
      debits.forEach((debit, index) => {
        const spent = outcomes[index]
        if (spent === undefined) debit.reject(new Error('A debit without an outcome'))
        else debit.resolve(toCharge(spent, debit))
      })
      return null
    } catch (error) {
      returning.unshift(...returns)
      // Who came meanwhile has waited as well, and would wait as long again.
      for (const { reject } of [...debits, ...waiting.splice(0)]) reject(error)
      return error
    }
  }

  const begin = (): Promise<unknown> => {
    const committing = commit().then(error => {
      active = null
      if (error === null) schedule()
      else if (returning.length > 0 && mayPass(error)) setTimeout(schedule, retryMilliseconds).unref()
      return error
    })
    active = committing
    return committing
  }

  const run = (): void => {
    isScheduled = false
    if (active === null && waiting.length + returning.length > 0) void begin()
  }

  const schedule = (): void => {
    if (isScheduled || active !== null || waiting.length + returning.length === 0) return
    isScheduled = true
    const pause = againAt - monotonic()
    // After whatever else has come in this turn.
    if (pause <= 0) setImmediate(run)
    else setTimeout(run, Math.ceil(pause))
  }

  return {
    charge: async (lineageId, cost, limits) => {
      if (!Number.isSafeInteger(cost) || cost < 0) throw new TypeError('A cost is a whole number, 0 or more')
      if (cost === 0) {
        return limits === undefined || limits.take()
          ? { ok: true, remaining: null, full: null, refund: nothing }
          : { ok: false, code: 'rate_limited' }
      }
      if (waiting.length >= maxWaiting) throw new Failure('unavailable', { retryAfterSeconds: 1 })
      const { promise, resolve, reject } = Promise.withResolvers<Charge>()
      waiting.push({ lineageId, cost, limits, resolve, reject })
      schedule()
      return promise
    },

    flush: async () => {
      while (active !== null || waiting.length + returning.length > 0) {
        const error = await (active ?? begin())
        if (error !== null) throw error
      }
    },
  }
}
