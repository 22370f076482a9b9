import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { createPasswordPolicy } from './password-policy.ts'

// Too short to be looked for in a password, so that only the rule under test decides.
const nobody = { email: 'a@b', displayName: null }
const text = (maxLength: number) => fc.string({ unit: 'binary', maxLength, size: 'max' })

const rules = (
  password: string,
  minimumLength = 15,
  owner: { email: string; displayName: string | null } = nobody,
) => createPasswordPolicy(minimumLength)(password, owner).map(({ rule }) => rule)

describe('PWD-01 and PWD-02: length', () => {
  test('is 15 to 256 code points of the NFC form unless configured, and nothing else is asked', () => {
    fc.assert(
      fc.property(fc.oneof(text(20), text(300)), password => {
        const length = [...password.normalize('NFC')].length
        const expected =
          length < 15
            ? ['must have at least 15 characters']
            : length > 256
              ? ['must have at most 256 characters']
              : []
        expect(rules(password)).toEqual(expected)
      }),
    )
  })

  test.each([
    [8, 8],
    [15, 15],
    [64, 64],
  ])('a minimum of %i is met by %i code points, and by no fewer', (minimum, length) => {
    for (const letter of ['x', '€', '👩', 'e\u0301']) {
      expect(rules(letter.repeat(length), minimum)).toEqual([])
      expect(rules(letter.repeat(length - 1), minimum)).toHaveLength(1)
    }
  })

  test('256 code points are taken and 257 refused, also where each has two UTF-16 units', () => {
    for (const letter of ['x', '👩', 'e\u0301']) {
      expect(rules(letter.repeat(256))).toEqual([])
      expect(rules(letter.repeat(257))).toEqual(['must have at most 256 characters'])
    }
  })

  test.each([7, 65, 8.5, Number.NaN])('a minimum of %p can not be configured', minimum => {
    expect(() => createPasswordPolicy(minimum)).toThrow(RangeError)
  })
})

test('PWD-03: a password is judged alike in every composition', () => {
  fc.assert(
    fc.property(text(30), password => {
      expect(rules(password.normalize('NFD'))).toEqual(rules(password.normalize('NFC')))
    }),
  )
})

test('PWD-04: no kind of character is asked for', () => {
  const kinds = [
    'aaaaaaaaaaaaaaa',
    '111111111111111',
    '               ',
    '~~~~~~~~~~~~~~~',
    'пароль из слов!',
  ]
  expect(kinds.flatMap(kind => rules(kind))).toEqual([])
})

describe('PWD-05: what others know of the owner', () => {
  const ann = { email: 'ann.lee@example.com', displayName: 'Ann Lee-Jones' }

  test.each([
    ['the address', 'ann.lee@example.com'],
    ['the address within', 'xx ann.lee@example.com xx'],
    ['the local part', 'correct ann.lee battery'],
    ['the local part in capitals', 'correct ANN.LEE battery'],
    ['the local part in full-width letters', 'correct ａｎｎ.ｌｅｅ battery'],
    ['the display name', 'my name is ann lee-jones'],
  ])('%s is refused, with the reason', (_, password) => {
    expect(rules(password, 15, ann)).toEqual(['must not contain the email address or the display name'])
  })

  test('a name or local part of 3 letters is not looked for', () => {
    expect(rules('a channel of planners', 15, { email: 'ann@example.com', displayName: 'Ann' })).toEqual([])
  })

  test.each([
    ['latchkeylatchkey', false],
    ['LatchKey1234567', false],
    ['my Latchkey password is long', true],
    ['latchkey12345678', true],
  ])('mostly the name of the service: %p is taken: %p', (password, taken) => {
    expect(rules(password)).toEqual(taken ? [] : ['must not be mostly the name of this service'])
  })
})

test('lone surrogates are refused, since they would all hash alike', () => {
  for (const lone of ['\uD800', '\uDC00']) {
    expect(rules(`${lone}${'x'.repeat(20)}`)).toEqual(['must be well-formed Unicode text'])
  }
})

test('the errors name the field and never hold the password', () => {
  fc.assert(
    fc.property(
      text(14).filter(password => password.length > 3),
      password => {
        const errors = createPasswordPolicy(15)(`${password}\uD800`, nobody)
        expect(errors.map(({ field }) => field)).toEqual(['password'])
        expect(errors.map(({ rule }) => rule)).toEqual(['must be well-formed Unicode text'])
      },
    ),
  )
})
