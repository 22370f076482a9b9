/**
 * When what was true, and what a service could know of it. Times are milliseconds of `performance.now()` in the process
 * that tests: it sends the changes and the requests, so one clock tells both.
 */

/** From the acknowledged change to its effect while the feed is up. */
export const bound = 1_000
/** For a machine that does other things as well. */
export const slack = 500
/** To be back on a wire that is whole again: the longest pause between two tries, and the way there. */
export const reconnect = 1_500

/** Whether a request should be let in; either where nobody can say. */
export type Verdict = 'good' | 'bad' | 'either'

/** From a moment on: what the service decides by itself, and what it has to hear from `login`. */
export type Segment = { readonly from: number; readonly local: Verdict; readonly remote: Verdict }

/** A time in which `login`, the wire and the service were all there. */
export type Window = {
  /** From when on it may have been so. */
  readonly earliest: number
  /** From when on it was so for certain. */
  readonly from: number
  /** Until when it was so for certain. */
  readonly to: number
  /** Until when it may have been. */
  readonly latest: number
  /** From `at` on the service knew, by its own word, everything acknowledged until `known`. */
  readonly heard: readonly { readonly at: number; readonly known: number }[]
}

/** A window that begins, and has not ended. */
export const openWindow = (from: number, earliest = from): Window => ({
  earliest,
  from,
  to: Number.POSITIVE_INFINITY,
  latest: Number.POSITIVE_INFINITY,
  heard: [],
})

export type Sample = {
  readonly sent: number
  readonly answered: number
  /** 0 when no answer came. */
  readonly status: number
}

/** Every change acknowledged by then is in force at `at`; before all time when nothing is known for certain. */
export const knownUntil = (windows: readonly Window[], at: number): number => {
  for (const { from, to, heard } of windows.toReversed()) {
    const end = Math.min(to, at)
    const byTime = end >= from + reconnect + bound + slack ? end - bound - slack : Number.NEGATIVE_INFINITY
    const known = Math.max(byTime, ...heard.filter(each => each.at <= at).map(each => each.known))
    if (known > Number.NEGATIVE_INFINITY) return known
  }
  return Number.NEGATIVE_INFINITY
}

/** Whether the feed had been up for long enough at the first moment, and stayed so until the second. */
export const isSettled = (windows: readonly Window[], sent: number, answered = sent): boolean =>
  windows.some(({ from, to }) => from + reconnect + bound + slack <= sent && to >= answered)

/** What held at any moment of a stretch of time; what was known of its owner before a credential was made may be anything. */
const during = (
  segments: readonly Segment[],
  part: 'local' | 'remote',
  from: number,
  to: number,
): Set<Verdict> => {
  const found = new Set<Verdict>()
  const [first] = segments
  if (first === undefined || first.from > from) found.add('either')
  for (const [index, segment] of segments.entries()) {
    const end = segments[index + 1]?.from ?? Number.POSITIVE_INFINITY
    if (segment.from <= to && end > from) found.add(segment[part])
  }
  return found
}

const isOnly = (found: ReadonlySet<Verdict>, verdict: Verdict): boolean =>
  found.size === 1 && found.has(verdict)

/** What a sample broke, in words; null when it is as promised. `maxStaleness` in milliseconds, refusal beyond it. */
export const judge = (
  { sent, answered, status }: Sample,
  segments: readonly Segment[],
  windows: readonly Window[],
  maxStaleness: number,
): string | null => {
  const known = knownUntil(windows, sent)
  const local = during(segments, 'local', sent, answered)
  const remote = during(segments, 'remote', known, answered)

  if (status >= 200 && status < 300) {
    if (isOnly(local, 'bad')) return 'honoured after the service itself had acknowledged that it is no good'
    if (isOnly(remote, 'bad')) return 'honoured later than the bound after it was no good any more'
    const heard = Math.max(
      ...windows.filter(({ earliest }) => earliest <= answered).map(({ latest }) => latest),
    )
    if (sent > heard + maxStaleness + bound + slack)
      return 'honoured by a service that had not heard for too long'
    return null
  }
  if (status === 401 || status === 403) {
    return isOnly(local, 'good') && isOnly(remote, 'good') ? 'refused though it is good' : null
  }
  if (status === 503) return isSettled(windows, sent, answered) ? 'not judged while the feed is up' : null
  return status === 0 ? null : `answered with ${status}`
}
