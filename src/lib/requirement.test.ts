import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { allows } from './permission.ts'
import { createRequirement, sayNeed, showNeed, waysToMeet } from './requirement.ts'

const segment = fc.constantFrom('a', 'b', 'a-b', '*')
const permission = fc.tuple(segment, segment).map(segments => segments.join(':'))
const held = fc.array(fc.oneof(permission, fc.constantFrom('a:b:c', '*', 'A:b', '')), { maxLength: 4 })
const list = fc.uniqueArray(permission, { minLength: 1, maxLength: 5 })
const need = fc.oneof(
  permission,
  fc.constant('any'),
  list,
  list.map(anyOf => ({ anyOf })),
)

describe('a requirement is met', () => {
  test('by who is allowed the one permission that it names', () => {
    fc.assert(
      fc.property(held, permission, (granted, needed) => {
        expect(createRequirement(needed).isMet(granted)).toBe(allows(granted, needed))
      }),
      { numRuns: 3_000 },
    )
  })

  test('by who is allowed all of a list', () => {
    fc.assert(
      fc.property(held, list, (granted, needed) => {
        expect(createRequirement(needed).isMet(granted)).toBe(needed.every(each => allows(granted, each)))
      }),
      { numRuns: 3_000 },
    )
  })

  test('by who is allowed one of anyOf', () => {
    fc.assert(
      fc.property(held, list, (granted, anyOf) => {
        expect(createRequirement({ anyOf }).isMet(granted)).toBe(anyOf.some(each => allows(granted, each)))
      }),
      { numRuns: 3_000 },
    )
  })

  test('by everybody where it is any', () => {
    fc.assert(fc.property(held, granted => createRequirement('any').isMet(granted)))
  })

  test('the same in one of the ways that are shown, and in no other', () => {
    fc.assert(
      fc.property(held, fc.array(need, { maxLength: 3 }), (granted, needs) => {
        const requirements = needs.map(createRequirement)
        const isMet = requirements.every(requirement => requirement.isMet(granted))
        expect(waysToMeet(requirements).some(way => way.every(each => allows(granted, each)))).toBe(isMet)
      }),
      { numRuns: 2_000 },
    )
  })
})

const twenty = Array.from({ length: 20 }, (_, index) => `r${index}:read`)

describe('what a requirement is made of', () => {
  test('is 20 permissions at most', () => {
    expect(createRequirement(twenty).permissions).toEqual(twenty)
    expect(createRequirement({ anyOf: twenty }).permissions).toEqual(twenty)
    for (const needed of [[...twenty, 'a:b'], { anyOf: [...twenty, 'a:b'] }]) {
      expect(() => createRequirement(needed)).toThrow(
        new TypeError('permission has a list of 21; it takes 20 at most'),
      )
    }
  })

  test.each([
    [[], "permission has an empty list; say 'any' if every caller may"],
    [{ anyOf: [] }, "permission has an empty list; say 'any' if every caller may"],
    [['a:b', 'c:d', 'a:b'], 'permission has "a:b" twice in a list'],
    [{ anyOf: ['a:b', 'a:b'] }, 'permission has "a:b" twice in a list'],
    [['a:b', 'any'], 'permission takes resource:action in a list, not "any"'],
    [{ anyOf: ['any'] }, 'permission takes resource:action in a list, not "any"'],
    [['a:b', 'a'], 'permission takes resource:action in a list, not "a"'],
    [['a:b:c'], 'permission takes resource:action in a list, not "a:b:c"'],
    [[['a:b']], 'permission takes resource:action in a list, not ["a:b"]'],
    [['a:b', null], 'permission takes resource:action in a list, not null'],
    [[{ anyOf: ['a:b'] }], 'permission takes resource:action in a list, not {"anyOf":["a:b"]}'],
  ])('is not %j', (needed, message) => {
    expect(() => createRequirement(needed)).toThrow(new TypeError(message))
  })

  test.each([
    [undefined],
    [null],
    [true],
    [''],
    ['a'],
    ['a:b:c'],
    ['A:b'],
    [{}],
    [{ allOf: ['a:b'] }],
    [{ anyOf: 'a:b' }],
    [{ anyOf: ['a:b'], allOf: ['c:d'] }],
    [{ anyOf: ['a:b'], x: 1 }],
  ])('is not %j, in any form', needed => {
    expect(() => createRequirement(needed)).toThrow(TypeError)
    expect(() => createRequirement(needed)).toThrow(String(JSON.stringify(needed)))
  })

  test('is a copy: what is written into the list later changes nothing', () => {
    const needed = ['a:b']
    const requirement = createRequirement({ anyOf: needed })
    needed.push('c:d')
    expect(requirement.isMet(['c:d'])).toBe(false)
    expect(() => Object.assign(requirement.permissions, { 0: 'c:d' })).toThrow(TypeError)
  })
})

test.each([
  [[], 'any', '', [[]]],
  [['any'], 'any', '', [[]]],
  [['a:b', 'any'], 'a:b', 'a:b', [['a:b']]],
  [[['a:b']], 'a:b', 'a:b', [['a:b']]],
  [[{ anyOf: ['a:b'] }], 'a:b', 'a:b', [['a:b']]],
  [[['a:b', 'c:d'], 'a:b'], { allOf: ['a:b', 'c:d'] }, 'all of a:b, c:d', [['a:b', 'c:d']]],
  [[{ anyOf: ['a:b', 'c:d'] }], { anyOf: ['a:b', 'c:d'] }, 'one of a:b, c:d', [['a:b'], ['c:d']]],
  [
    ['e:f', { anyOf: ['a:b', 'e:f'] }],
    { allOf: ['e:f', { anyOf: ['a:b', 'e:f'] }] },
    'e:f, and one of a:b, e:f',
    [['e:f', 'a:b'], ['e:f']],
  ],
])('%j is shown as %j and said as "%s"', (needs, shown, words, ways) => {
  const requirements = needs.map(createRequirement)
  expect(showNeed(requirements)).toEqual(shown)
  expect(sayNeed(requirements)).toBe(words)
  expect(waysToMeet(requirements)).toEqual(ways)
})
