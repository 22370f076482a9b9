import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { allows, covers, intersect, permissionPattern, permissionsOf, whatIncludes } from './permission.ts'

const pattern = new RegExp(permissionPattern)
const segment = fc.constantFrom('a', 'b', 'a-b', '*')
const permission = fc.tuple(segment, segment).map(segments => segments.join(':'))

describe('what a permission covers', () => {
  test('itself', () => {
    fc.assert(fc.property(permission, one => covers(one, one)))
  })

  test('whatever is covered by what it covers', () => {
    fc.assert(
      fc.property(permission, permission, permission, (one, two, three) => {
        if (covers(one, two) && covers(two, three)) expect(covers(one, three)).toBe(true)
      }),
      { numRuns: 2_000 },
    )
  })

  test('no two permissions cover each other', () => {
    fc.assert(
      fc.property(permission, permission, (one, two) => {
        if (covers(one, two) && covers(two, one)) expect(one).toBe(two)
      }),
      { numRuns: 1_000 },
    )
  })

  test('everything is covered by *:* alone', () => {
    fc.assert(fc.property(permission, one => covers('*:*', one) && (one === '*:*') === covers(one, '*:*')))
  })

  test('with a * is covered by none that lacks one there', () => {
    fc.assert(
      fc.property(permission, permission, (granted, needed) => {
        const isWithin = needed
          .split(':')
          .every((part, index) => part !== '*' || granted.split(':')[index] === '*')
        if (!isWithin) expect(covers(granted, needed)).toBe(false)
      }),
      { numRuns: 1_000 },
    )
  })

  test('is by the four that include it, and by nothing else', () => {
    fc.assert(
      fc.property(permission, permission, (granted, needed) => {
        expect(whatIncludes(needed).includes(granted)).toBe(covers(granted, needed))
      }),
      { numRuns: 1_000 },
    )
  })

  test.each([
    ['a:*', 'a:read', true],
    ['*:read', 'a:read', true],
    ['a:*', 'a:*', true],
    ['a:read', 'a:*', false],
    ['a:read', '*:read', false],
    ['a:read', 'a:reader', false],
    ['a:reader', 'a:read', false],
    ['a:read', 'A:read', false],
    ['*', 'a:read', false],
    ['a', 'a:read', false],
    [':', 'a:read', false],
    ['', 'a:read', false],
    ['*:', 'a:read', false],
    ['a*:read', 'ab:read', false],
    ['__proto__:read', 'a:read', false],
  ] as const)('%s covers %s: %p', (granted, needed, expected) => {
    expect(covers(granted, needed)).toBe(expected)
    expect(allows(['x:y', granted], needed)).toBe(expected)
  })

  test('nothing is allowed to who has nothing', () => {
    fc.assert(fc.property(permission, one => !allows([], one)))
  })
})

describe('what two lists have in common', () => {
  const list = fc.array(permission, { maxLength: 4 })

  test('allows what each of them allows, and nothing else', () => {
    fc.assert(
      fc.property(list, list, permission, (one, other, needed) => {
        expect(allows(intersect(one, other), needed)).toBe(allows(one, needed) && allows(other, needed))
      }),
      { numRuns: 3_000 },
    )
  })

  /** All that could be told apart here, and one name that stands for every other. */
  const everything = ['a', 'b', 'a-b', 'other', '*'].flatMap(resource =>
    ['a', 'b', 'a-b', 'other', '*'].map(action => `${resource}:${action}`),
  )
  const allowedBy = (granted: readonly string[]) => everything.filter(needed => allows(granted, needed))

  test('is the same from either side, and what a list has in common with itself is the list', () => {
    fc.assert(
      fc.property(list, list, (one, other) => {
        expect(allowedBy(intersect(one, other))).toEqual(allowedBy(intersect(other, one)))
        expect(allowedBy(intersect(one, one))).toEqual(allowedBy(one))
      }),
      { numRuns: 1_000 },
    )
  })

  test('is never more than either, and nothing with nothing', () => {
    fc.assert(
      fc.property(list, list, (one, other) => {
        const met = intersect(one, other)
        for (const each of met) expect(allows(one, each) && allows(other, each)).toBe(true)
        expect(intersect(one, [])).toEqual([])
        expect(intersect([], other)).toEqual([])
      }),
      { numRuns: 1_000 },
    )
  })

  test.each<[string[], string[], string[]]>([
    [['a:*'], ['a:read'], ['a:read']],
    [['a:read'], ['a:*'], ['a:read']],
    [['a:*'], ['*:read'], ['a:read']],
    [['*:*'], ['a:read', 'b:*'], ['a:read', 'b:*']],
    [['a:read', 'b:read'], ['a:read'], ['a:read']],
    [['a:*', 'a:read'], ['a:read'], ['a:read']],
    [['a:read'], ['b:read'], []],
    [['a:read'], [], []],
    [[], ['a:read'], []],
    [['a:b:c'], ['a:*'], []],
    [['a:read'], ['constructor:read'], []],
  ])('%j and %j: %j', (one, other, expected) => {
    expect(intersect(one, other)).toEqual(expected)
  })
})

describe('the pattern of a permission', () => {
  test.each(['a:b', '*:*', 'a:*', '*:b', 'api-keys:manage', `${'a'.repeat(40)}:b2`])('takes %s', text => {
    expect(pattern.test(text)).toBe(true)
  })

  test.each([
    '',
    ':',
    'a',
    'a:',
    ':b',
    'a:b:c',
    'A:b',
    '1a:b',
    '-a:b',
    'a:b ',
    'a:b\n',
    'a**:b',
    'ä:b',
    `${'a'.repeat(41)}:b`,
  ])('does not take %j', text => {
    expect(pattern.test(text)).toBe(false)
  })
})

describe('the permissions of roles', () => {
  const roles = { user: ['a:read'], admin: ['a:*', 'a:read'] }

  test('are those of all of them, once each', () => {
    expect(permissionsOf(roles, ['user', 'admin', 'user']).toSorted()).toEqual(['a:*', 'a:read'])
  })

  test('of a role that is not listed are none, also when its name is a member of every object', () => {
    for (const role of ['ghost', 'constructor', 'toString', '__proto__', 'hasOwnProperty', '', 'User']) {
      expect(permissionsOf(roles, [role])).toEqual([])
    }
    fc.assert(
      fc.property(fc.array(fc.string()), names => {
        fc.pre(!names.includes('user') && !names.includes('admin'))
        return permissionsOf(roles, names).length === 0
      }),
    )
  })
})

test('of three segments covers nothing and is covered by nothing but itself: it would be cut short', () => {
  expect(covers('a:b', 'a:b:c')).toBe(false)
  expect(covers('a:*', 'a:b:c')).toBe(false)
  expect(covers('*:*', 'a:b:c')).toBe(false)
  expect(covers('a:b:c', 'a:b')).toBe(false)
})
