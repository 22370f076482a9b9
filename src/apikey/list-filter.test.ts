import { Database } from 'bun:sqlite'
import { afterEach, describe, expect, spyOn, test } from 'bun:test'
import fc from 'fast-check'
import { systemClock } from '../lib/clock.ts'
import { covers } from '../lib/permission.ts'
import { containing, coveringPermissions, type KeyFilter, keyStatuses } from './list-filter.ts'
import { createKeyList } from './store-list.ts'
import { openKeyDatabase } from './test-store.ts'

const segment = fc.oneof(fc.constantFrom('a', 'b', 'a-b', 'ab'), fc.constant('*'))
const permission = fc.tuple(segment, segment).map(([resource, action]) => `${resource}:${action}`)

describe('the permissions that include another', () => {
  test('are those of the algebra, no more and no fewer', () => {
    fc.assert(
      fc.property(
        permission,
        fc.oneof(permission, fc.constantFrom('a', 'a:b:c', '*:*:*', '', ':', '*')),
        (needed, granted) => {
          expect([needed, granted, coveringPermissions(needed).includes(granted)]).toEqual([
            needed,
            granted,
            covers(granted, needed),
          ])
        },
      ),
      { numRuns: 1_000 },
    )
  })
})

describe('a part of a name', () => {
  const database = new Database(':memory:')
  const matches = (name: string, part: string): boolean =>
    database.query<{ is: number }, [string, string]>('SELECT ? GLOB ? AS "is"').get(name, containing(part))
      ?.is === 1

  /** Each letter in the one form that all its cases share. */
  const fold = (text: string): string =>
    [...text].map(letter => (/^(ß|İ)$/.test(letter) ? letter : letter.toUpperCase().toLowerCase())).join('')

  const letters = fc.string({
    unit: fc.constantFrom(...'aAbB19 *?[]^-!%_\\"\'äÄΣσßжЖ😀'),
    minLength: 1,
    maxLength: 4,
  })

  test('is found in any case and wherever it stands, and no sign in it means anything else', () => {
    fc.assert(
      fc.property(letters, letters, letters, (before, part, after) => {
        const swapped = [...part].map(letter => {
          const other = letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()
          return [...other].length === 1 ? other : letter
        })
        expect(matches(before + swapped.join('') + after, part)).toBe(true)
        expect([after, part, matches(after, part)]).toEqual([after, part, fold(after).includes(fold(part))])
      }),
      { numRuns: 2_000 },
    )
  })

  test.each([
    ['100%', '0%', true],
    ['100 of', '0%', false],
    ['a_b', 'a_b', true],
    ['axb', 'a_b', false],
    ['a*b', '*', true],
    ['ab', '*', false],
    ['ab', '?', false],
    ['[ab]', '[a', true],
    ['a', '[a]', false],
    ['ΣΊΣΥΦΟΣ', 'ς', true],
  ])('of %j: %j is %p', (name, part, expected) => {
    expect(matches(name, part)).toBe(expected)
  })

  test('takes no time that grows with what is searched for beyond measure', () => {
    expect(matches('a'.repeat(100), `${'a'.repeat(99)}b`)).toBe(false)
  })
})

describe('the queries of a list', () => {
  let database: Database | null = null
  afterEach(() => database?.close())

  const filters: readonly KeyFilter[] = [
    {},
    ...[...keyStatuses, 'all' as const].map(status => ({ status })),
    { name: 'a' },
    { permission: 'a:read' },
    { expiringBefore: 1 },
    { neverUsed: true },
    { unusedSince: 1 },
    { usedSince: 1 },
    { status: 'active', expiringBefore: 1, usedSince: 1 },
  ]

  test('KEY-13: go along one index, in its order and between two places of it, whatever the filter', async () => {
    const given = openKeyDatabase()
    database = given
    const prepare = spyOn(given, 'prepare')
    const list = createKeyList({ database: given, clock: systemClock })
    for (const [scope, index] of [
      [{ ownerId: 'usr_ann' }, 'api_keys_by_owner (owner_id=? AND (created_at,id)'],
      ['all', 'api_keys_by_time ((created_at,id)'],
    ] as const) {
      for (const filter of filters) {
        prepare.mockClear()
        await list({ ...filter, scope, limit: 50, after: { createdAt: 1, id: 'key_1' } })
        const asked = prepare.mock.calls.map(([sql]) => sql)
        expect(asked).toHaveLength(2)
        for (const sql of asked) {
          const plan = given.query<{ detail: string }, number[]>(`EXPLAIN QUERY PLAN ${sql}`)
          const rows = plan.all(...Array.from({ length: plan.paramsCount }, () => 1))
          const told = rows.map(({ detail }) => detail).join('; ')
          expect(told).toContain(`INDEX ${index}`)
          expect(told).not.toContain('TEMP B-TREE')
        }
      }
    }
  })
})
