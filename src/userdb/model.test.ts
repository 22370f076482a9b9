import { describe, expect, test } from 'bun:test'
import type { TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Value } from '@sinclair/typebox/value'
import fc from 'fast-check'
import { DisplayName, RoleName, Roles, User } from './model.ts'

// Routes compile their schemas, this library checks them as they are: both must say the same.
const accepts = (schema: TSchema, value: unknown): boolean => {
  const answer = Value.Check(schema, value)
  expect(TypeCompiler.Compile(schema).Check(value)).toBe(answer)
  return answer
}

describe('a display name', () => {
  test('has 1 to 100 code points, however many UTF-16 units those are', () => {
    const letter = fc.constantFrom('a', 'é', '𝒜', '👩', '\u200D')
    fc.assert(
      fc.property(fc.array(letter, { maxLength: 110 }), rest => {
        const length = rest.length + 1
        expect(accepts(DisplayName, `n${rest.join('')}`)).toBe(length <= 100)
      }),
    )
    expect(accepts(DisplayName, '')).toBe(false)
    expect(accepts(DisplayName, '👩'.repeat(100))).toBe(true)
    expect(accepts(DisplayName, '👩'.repeat(101))).toBe(false)
  })

  test.each([
    ['only white space', ' \u00A0\u3000'],
    ['NUL', 'a\u0000b'],
    ['a line break', 'a\nb'],
    ['a line break at the end', 'a\n'],
    ['a C1 control', 'a\u0085b'],
    ['a line separator', 'a\u2028b'],
    ['a direction override', 'a\u202Eb'],
    ['a direction isolate', 'a\u2066b'],
    ['a lone high surrogate', 'a\uD83D'],
    ['a lone low surrogate', '\uDC69a'],
  ])('is refused with %s', (_, text) => {
    expect(accepts(DisplayName, text)).toBe(false)
  })

  test('as JSON Schema means the same to a validator that sets the u flag', () => {
    const pattern = new RegExp(DisplayName.pattern ?? '', 'u')
    for (const text of ['Ann', '👩'.repeat(100), '👩'.repeat(101), 'a\uD83D', 'a\nb', ' ']) {
      expect(pattern.test(text)).toBe(accepts(DisplayName, text))
    }
  })
})

test.each([
  ['user', true],
  ['a', true],
  ['support-2', true],
  [`a${'b'.repeat(39)}`, true],
  [`a${'b'.repeat(40)}`, false],
  ['', false],
  ['Admin', false],
  ['2fa', false],
  ['-a', false],
  ['a_b', false],
  ['user\n', false],
])('role name %p: %p', (name, taken) => {
  expect(accepts(RoleName, name)).toBe(taken)
})

test('roles are at most 16, each once', () => {
  const names = Array.from({ length: 17 }, (_, index) => `role-${index}`)
  expect(accepts(Roles, [])).toBe(true)
  expect(accepts(Roles, names.slice(0, 16))).toBe(true)
  expect(accepts(Roles, names)).toBe(false)
  expect(accepts(Roles, ['user', 'user'])).toBe(false)
})

test('a user with any further field, such as the hash, is no User', () => {
  const user = {
    id: 'usr_0123456789abcdef0123456789abcdef',
    email: 'ann@example.com',
    displayName: null,
    roles: ['user'],
    status: 'active',
    createdAt: 1,
    updatedAt: 1,
  }
  expect(accepts(User, user)).toBe(true)
  expect(accepts(User, { ...user, passwordHash: 'x' })).toBe(false)
})
