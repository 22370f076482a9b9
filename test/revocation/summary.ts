import { type Static, Type } from '@sinclair/typebox'

/** What a run of the demo found. Times are milliseconds; `null` stands for "never". */

const Milliseconds = Type.Number()
const OrNever = Type.Union([Milliseconds, Type.Null()])
const Count = Type.Integer({ minimum: 0 })

/** What came after a change on one service, the worst of all victims. */
export const After = Type.Object({
  service: Type.String(),
  /** From the acknowledgement to the sending of the last request that was let in; null: none that was sent after it. */
  lastAcceptedMs: OrNever,
  /** From the acknowledgement to the sending of the first request that was refused; negative: before it had arrived. */
  firstRefusedMs: OrNever,
})
export type After = Static<typeof After>

export const ChangeRow = Type.Object({
  change: Type.String(),
  credential: Type.String(),
  credentials: Count,
  /** The fewest that any of them had let in on a service before. */
  acceptedBefore: Count,
  after: Type.Array(After),
  answer: Type.String(),
  held: Type.Boolean(),
})
export type ChangeRow = Static<typeof ChangeRow>

export const OutageRow = Type.Object({
  fault: Type.String(),
  service: Type.String(),
  staleMode: Type.String(),
  /** Requests of the victim that were let in between the acknowledgement and the mending; null: never mended. */
  acceptedMeanwhile: OrNever,
  /** From the fault to the last request that the service let anybody in with, before it was mended. */
  stoppedMs: OrNever,
  /** From the fault until `/readyz` said so. */
  toldMs: OrNever,
  /** From the mending (where there was none: the acknowledgement) to the last request of the victim that was let in. */
  lastAcceptedMs: OrNever,
  firstRefusedMs: OrNever,
  /** From the mending to the first request of the bystander that was let in. */
  servedAgainMs: OrNever,
  held: Type.Boolean(),
})
export type OutageRow = Static<typeof OutageRow>

export const CrashRow = Type.Object({
  killed: Type.String(),
  service: Type.String(),
  /** What times are counted from. */
  since: Type.String(),
  lastAcceptedMs: OrNever,
  firstRefusedMs: OrNever,
  held: Type.Boolean(),
})
export type CrashRow = Static<typeof CrashRow>

export const Summary = Type.Object({
  at: Type.String(),
  machine: Type.String(),
  askedRate: Type.Number(),
  achievedRate: Type.Number(),
  requests: Count,
  connections: Count,
  maxStalenessSeconds: Count,
  boundMs: Milliseconds,
  clockDifferenceMs: Milliseconds,
  /** Median time between two requests of one credential on one service around its change. */
  resolutionMs: Milliseconds,
  changes: Type.Array(ChangeRow),
  bystander: Type.Object({ accepted: Count, refused: Count, failed: Count, held: Type.Boolean() }),
  signInAgainMs: OrNever,
  outages: Type.Array(OutageRow),
  crashes: Type.Array(CrashRow),
  held: Type.Boolean(),
})
export type Summary = Static<typeof Summary>
