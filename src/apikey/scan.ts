/**
 * Looks through a table in small steps with a turn of the event loop between them, so that a filter which matches next
 * to nothing stops nobody else. What one request looks at is bounded, too: then it has what was found so far, and where
 * to go on.
 */
export type ScanOptions = {
  /** Rows of a step at most. */
  readonly rowsPerStep?: number
  /** Rows of a scan at most. */
  readonly mostRows?: number
  /** Milliseconds that only go forward. */
  readonly monotonic?: () => number
  /** Ends when everybody else had a turn. */
  readonly turn?: () => Promise<void>
}

/** A table in its order. Both are synchronous, and look at no row beyond those that they are told. */
export type Table<Row, Position> = {
  /** The row that is `rows` after a position (from the start for null); null where there are fewer. */
  ahead(after: Position | null, rows: number): Position | null
  /** Rows that match, after one position and up to another (to the end for null), `limit` at most. */
  read(after: Position | null, end: Position | null, limit: number): readonly Row[]
}

export type Scanned<Row, Position> = {
  readonly items: readonly Row[]
  /** Where the next page starts; null at the end of the table. */
  readonly next: Position | null
}

/** Of the first step, which waits for no turn: many requests may begin at once. */
const firstRows = 128
const leastRows = 32
/** Longer than that a step should not take: the next one gets less to do. */
const stepMilliseconds = 3
const mostMilliseconds = 1_000

/** Turns that are taken one after the other, whoever waits: many scans at once stop the event loop no longer than one. */
export const createTurns = (): (() => Promise<void>) => {
  let last: Promise<void> = Promise.resolve()
  return () => {
    last = last.then(() => new Promise(resolve => setImmediate(resolve)))
    return last
  }
}

export const createScan = ({
  rowsPerStep = 2_000,
  mostRows = 50_000,
  monotonic = () => performance.now(),
  turn = createTurns(),
}: ScanOptions = {}) => {
  /** How many rows a step gets: fewer where they turned out to be slow. */
  let rows = Math.min(256, rowsPerStep)

  return async <Row, Position>(
    table: Table<Row, Position>,
    {
      after,
      limit,
      positionOf,
    }: { after: Position | null; limit: number; positionOf: (row: Row) => Position },
  ): Promise<Scanned<Row, Position>> => {
    const startedAt = monotonic()
    const items: Row[] = []
    let start = after
    for (let seen = 0; ; ) {
      const stepAt = monotonic()
      const step = Math.min(rows, mostRows - seen, seen === 0 ? firstRows : rows)
      const end = table.ahead(start, step)
      // One more than is wanted tells whether there is another page.
      items.push(...table.read(start, end, limit - items.length + 1))
      const last = items[limit - 1]
      if (items.length > limit && last !== undefined) {
        return { items: items.slice(0, limit), next: positionOf(last) }
      }
      if (end === null) return { items, next: null }
      seen += step
      start = end
      const now = monotonic()
      if (now - stepAt > stepMilliseconds) rows = Math.max(Math.min(leastRows, rowsPerStep), rows >> 1)
      else if (now - stepAt < stepMilliseconds / 2) rows = Math.min(rowsPerStep, rows * 2)
      if (seen >= mostRows || now - startedAt > mostMilliseconds) return { items, next: end }
      await turn()
    }
  }
}

export type Scan = ReturnType<typeof createScan>
