import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { createScan, createTurns, type ScanOptions, type Table } from './scan.ts'

const positionOf = (row: number): number => row

/** The numbers up to `size`, of which some match, and how much of them each look takes. */
const createTable = (size: number, matches: (row: number) => boolean) => {
  const looked: number[] = []
  const table: Table<number, number> = {
    ahead: (after, rows) => {
      const end = (after ?? -1) + rows
      return end < size ? end : null
    },
    read: (after, end, limit) => {
      const from = (after ?? -1) + 1
      const to = Math.min(end ?? size - 1, size - 1)
      const found: number[] = []
      let row = from
      for (; row <= to && found.length < limit; row += 1) if (matches(row)) found.push(row)
      looked.push(row - from)
      return found
    },
  }
  return { table, looked }
}

const instant: ScanOptions = { monotonic: () => 0, turn: async () => undefined }

describe('a scan', () => {
  test('finds everything once and in order, whatever the steps', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 200 }),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 13 }),
        async (size, rowsPerStep, mostRows, limit, every) => {
          const matches = (row: number): boolean => row % every === 0
          const { table, looked } = createTable(size, matches)
          const scan = createScan({ ...instant, rowsPerStep, mostRows })
          const seen: number[] = []
          let after: number | null = null
          do {
            const page: { items: readonly number[]; next: number | null } = await scan(table, {
              after,
              limit,
              positionOf,
            })
            expect(page.items.length).toBeLessThanOrEqual(limit)
            seen.push(...page.items)
            after = page.next
          } while (after !== null)
          expect(seen).toEqual(Array.from({ length: size }, (_, row) => row).filter(matches))
          expect(Math.max(0, ...looked)).toBeLessThanOrEqual(rowsPerStep)
        },
      ),
    )
  })

  test('that finds nothing ends early, and says where to go on', async () => {
    const { table, looked } = createTable(1_000_000, () => false)
    let turns = 0
    const scan = createScan({
      monotonic: () => 0,
      turn: async () => {
        turns += 1
      },
    })
    expect(await scan(table, { after: null, limit: 50, positionOf })).toEqual({ items: [], next: 49_999 })
    expect(looked.reduce((sum, rows) => sum + rows)).toBe(50_000)
    expect(Math.max(...looked)).toBe(2_000)
    expect(turns).toBe(looked.length - 1)
    expect((await scan(table, { after: 990_000, limit: 50, positionOf })).next).toBeNull()
  })

  test('that takes long does so in smaller steps, and ends by time', async () => {
    const { table, looked } = createTable(1_000_000, () => false)
    let time = 0
    const slow: typeof table = {
      ...table,
      read: (after, end, limit) => {
        const found = table.read(after, end, limit)
        // 50 µs a row: 2,000 of them would be 100 ms.
        time += (looked.at(-1) ?? 0) * 0.05
        return found
      },
    }
    const scan = createScan({ monotonic: () => time, turn: async () => undefined })
    const { next } = await scan(slow, { after: null, limit: 50, positionOf })
    expect(next).not.toBeNull()
    expect(time).toBeGreaterThan(1_000)
    expect(time).toBeLessThan(1_000 + 13)
    expect(looked[0]).toBe(128)
    expect(Math.max(...looked.slice(4))).toBeLessThanOrEqual(160)
  })
})

test('many scans at once take turns: between two steps of any of them everybody else has one', async () => {
  const turn = createTurns()
  const steps: string[] = []
  let isOver = false
  const others = (async () => {
    while (!isOver) {
      await new Promise(resolve => setImmediate(resolve))
      steps.push('loop')
    }
  })()
  await Promise.all(
    Array.from({ length: 5 }, async () => {
      for (let step = 0; step < 4; step += 1) {
        await turn()
        steps.push('step')
      }
    }),
  )
  isOver = true
  await others
  const text = steps.join(' ')
  expect(steps.filter(step => step === 'step')).toHaveLength(20)
  expect(text).not.toContain('step step')
})
