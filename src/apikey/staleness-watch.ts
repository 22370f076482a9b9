import type { FeedLog } from './feed-log.ts'
import type { StaleMode, Staleness } from './staleness.ts'

export type StalenessWatchOptions = {
  readonly staleness: Pick<Staleness, 'isStale' | 'lagSeconds'>
  /** Whether callers are judged at all; before that there is nothing that could be out of date. */
  readonly isJudging: () => boolean
  readonly staleMode: StaleMode
  readonly maxStalenessSeconds: number
  readonly log: FeedLog
}

const meanings: Readonly<Record<StaleMode, string>> = {
  allow: 'callers are judged by what was known then',
  deny: 'nobody is judged, every caller is refused with 503',
}

/** Makes what says, each time that it is called, whether the limit was crossed since: one line for each crossing. */
export const createStalenessWatch = ({
  staleness,
  isJudging,
  staleMode,
  maxStalenessSeconds,
  log,
}: StalenessWatchOptions): (() => void) => {
  let wasStale = false
  return () => {
    const isStale = isJudging() && staleness.isStale()
    if (isStale === wasStale) return
    wasStale = isStale
    if (isStale) {
      log.warn(
        { staleMode, maxStalenessSeconds, lagSeconds: Math.round(staleness.lagSeconds() ?? 0) },
        `login was not heard for longer than allowed: ${meanings[staleMode]}`,
      )
    } else {
      log.info({ staleMode }, 'what is known of login is current again')
    }
  }
}
