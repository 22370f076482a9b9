import type { Database } from 'bun:sqlite'
import { migrations } from '../../db/apikey/index.ts'
import { systemClock } from '../lib/clock.ts'
import { createVerifier } from '../lib/jwt/verifier.ts'
import type { Limiter } from '../lib/limiter.ts'
import { migrate } from '../lib/migrate.ts'
import { closeDatabase, openDatabase, patiently, settle } from '../lib/sqlite.ts'
import { createVerifiedCache } from '../lib/verified-cache.ts'
import type { Followed, Remembered } from './authenticate.ts'
import { carryOver, openLimiter } from './carried-windows.ts'
import { createCreditStore } from './credit-store.ts'
import { createEvents, type KeyEvent } from './events.ts'
import { createExpiringKeys } from './expiring-keys.ts'
import { standardOutput } from './feed-log.ts'
import type { KeyWatch } from './key-changes.ts'
import type { KeyRecord } from './key-record.ts'
import { createKeyUses, type KeyUse } from './key-use.ts'
import { createKeys, type Keys, lowestCost } from './keys.ts'
import { createLedger, type Ledger } from './ledger.ts'
import {
  type ApikeyOptions,
  defaultAuditDays,
  defaultCacheEntries,
  defaultExpiringSoonSeconds,
  defaultKeyLimits,
  defaultKeysPerOwner,
  defaultMaxStalenessSeconds,
  defaultPrefix,
} from './options.ts'
import { createRetention, type Retention } from './retention.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { type AuditTrail, createAuditTrail } from './store-audit.ts'
import { createSubjectFeed, type SubjectFeed } from './subject-feed.ts'
import { resolveIssuer } from './token-source.ts'
import { createUsage, type Usage } from './usage.ts'
import { createCheckpoints } from './usage-checkpoints.ts'
import { createUsageStore } from './usage-store.ts'

type Opened = {
  readonly database: Database
  readonly store: KeyStore
  readonly keys: Keys
  readonly usage: Usage
  readonly limiter: Limiter
  readonly ledger: Ledger
  readonly useOf: (key: KeyRecord) => KeyUse
  readonly audit: AuditTrail
  readonly retention: Retention
  readonly watch: KeyWatch
  readonly feed: SubjectFeed | null
  /** Tells of keys that expire soon; null where nobody listens. */
  readonly tellExpiring: (() => Promise<void>) | null
}

/**
 * How often what can wait is done: uses are written, what is past its time is deleted, and
 * it is looked for keys that expire soon.
 */
const choreMilliseconds = 30_000

/** How long a stop waits for those who listen to events. */
const drainMilliseconds = 2_000

/** Ids that the limiter looks at each time whether they are over. With those that come it looks at more. */
const sweptIds = 1_000

/** How far behind other processes on the file a key may be taken from memory, milliseconds. */
const catchUpMilliseconds = 25

/**
 * What one installed plugin has open and running: the database, the feed, what is remembered, and a timer. Nothing of
 * it before it is asked for the first time.
 */
export const createInstallation = (options: ApikeyOptions<string>) => {
  const { audience, clock = systemClock, prefix = defaultPrefix, secretHashCost: cost = lowestCost } = options
  const { staleMode = 'allow', log = standardOutput, cacheEntries = defaultCacheEntries } = options
  const cache = createVerifiedCache<Remembered>(cacheEntries)
  const evict = (id: string | null): void => (id === null ? cache.clear() : cache.evict(id))

  const { onEvent } = options
  const events = onEvent === undefined ? null : createEvents({ listener: onEvent, log })
  const emit = events === null ? undefined : (event: KeyEvent): void => events.emit(event)

  let opened: Opened | null = null
  const {
    issuer,
    keys: source,
    remote,
    feed,
  } = resolveIssuer(options, options.allowInsecureLogin ?? false, {
    clock,
    isRevoked: kid => opened?.feed?.isKeyRevoked(kid) ?? false,
    onRevokedPublished: kid =>
      log.warn({ kid }, 'login publishes a signing key that it revoked: tokens signed with it are refused'),
  })
  const verifier = createVerifier({ keys: source, issuer, audience, clock })

  let timer: ReturnType<typeof setInterval> | null = null
  /** What is asked for after the end must not start anything anew, which nobody would end. */
  let isStopped = false

  /** Of whatever is open then. What can't be written is kept, and the next time tries again. */
  const doChores = (): void => {
    void opened?.usage.flush().catch(() => undefined)
    void opened?.tellExpiring?.().catch(() => undefined)
    void opened?.retention.prune().catch(() => undefined)
    opened?.limiter.sweep(sweptIds)
  }

  const run = ({ feed: followed, tellExpiring }: Opened): void => {
    timer ??= setInterval(doChores, choreMilliseconds)
    timer.unref()
    void tellExpiring?.().catch(() => undefined)
    followed?.start()
  }

  const open = (): Opened => {
    if (opened !== null) return opened
    const { database: given, keysPerOwner = defaultKeysPerOwner } = options
    const { expiringSoonSeconds = defaultExpiringSoonSeconds, auditDays = defaultAuditDays } = options
    const database = typeof given === 'string' ? openDatabase(given) : given
    const limiter = patiently(database, () => {
      migrate(database, migrations, clock)
      return openLimiter({ database, clock: options.clock, log })
    })
    if (typeof given === 'string') settle(database)
    const store = createSqliteKeyStore({ database, clock, ...(emit === undefined ? {} : { emit }) })
    const checkpoints = createCheckpoints(database)
    const usage = createUsage({ store: createUsageStore({ database, checkpoints }), clock })
    const followed =
      feed === null
        ? null
        : createSubjectFeed({
            feed,
            remoteKeys: remote,
            database,
            audience,
            maxStalenessSeconds: options.maxStalenessSeconds ?? defaultMaxStalenessSeconds,
            staleMode,
            clock,
            log,
            onChange: evict,
            emit,
          })
    // What was remembered before is of another database, perhaps.
    cache.clear()
    opened = {
      database,
      store,
      usage,
      limiter,
      ledger: createLedger({ store: createCreditStore({ database, clock, checkpoints }) }),
      useOf: createKeyUses(limiter, options.defaultLimits ?? defaultKeyLimits),
      audit: createAuditTrail({ database }),
      retention: createRetention({ database, clock, auditDays, checkpoints }),
      watch: store.watch(ids => (ids === null ? evict(null) : ids.forEach(evict))),
      keys: createKeys({ store, clock, prefix, cost, keysPerOwner }),
      feed: followed,
      tellExpiring:
        emit === undefined
          ? null
          : createExpiringKeys({ database, clock, seconds: expiringSoonSeconds, emit }),
    }
    if (!isStopped) run(opened)
    return opened
  }

  /** The feed as it is once something is open: before that there is nothing to ask. */
  const openFeed = (): SubjectFeed => {
    const { feed: followed } = open()
    if (followed === null) throw new Error('No feed is followed')
    return followed
  }
  let caughtUpAt = Number.NEGATIVE_INFINITY
  /** Looked at when somebody asks, and not by a timer: so the bound holds however late a timer would be. */
  const catchUp = (): void => {
    const now = performance.now()
    // After a stop, what is remembered is of a database that was closed.
    if (opened !== null && now - caughtUpAt < catchUpMilliseconds) return
    open().watch.catchUp()
    caughtUpAt = now
  }

  const followed: Followed | null =
    feed === null
      ? null
      : {
          find: id => openFeed().find(id),
          isEnded: id => openFeed().isEnded(id),
          requireCurrent: () => openFeed().requireCurrent(),
        }

  let stopping: Promise<void> | null = null
  /** What is on its way out is left to end; then all of it is opened anew. */
  const startAgain = async (stopped: Promise<void>): Promise<void> => {
    try {
      await stopped
      if (!isStopped) run(open())
    } catch (error) {
      log.warn({ error }, 'what was stopped could not be started again: the next request tries to')
    }
  }

  const start = (): void => {
    isStopped = false
    if (stopping === null) run(open())
    else void startAgain(stopping)
    if (feed !== null) return
    log.warn(
      {},
      'no change feed is followed: credentials are good until they expire, whatever happens to their owners',
    )
  }

  const stop = (): Promise<void> => {
    isStopped = true
    const current = opened
    if (current === null || stopping !== null) return stopping ?? Promise.resolve()
    if (timer !== null) clearInterval(timer)
    timer = null
    const end = async (): Promise<void> => {
      const ended = await Promise.allSettled([
        current.feed?.stop(),
        current.ledger.flush(),
        current.usage.flush().finally(() => carryOver(current.limiter, { database: current.database, log })),
        current.retention.stop(),
      ])
      const failed = ended.find(result => result.status === 'rejected')
      if (failed !== undefined) {
        log.warn({ error: failed.reason }, 'the last of what is in memory could not be written')
      }
      await events?.drain(drainMilliseconds)
      current.watch.stop()
      if (typeof options.database === 'string') closeDatabase(current.database)
      opened = null
      stopping = null
    }
    stopping = end()
    return stopping
  }

  return { open, cache, verifier, keySource: source, followed, events, emit, catchUp, start, stop }
}

export type Installation = ReturnType<typeof createInstallation>
