import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { differences, termsOf } from './differences.ts'
import type { KeyLimit } from './key-record.ts'

const nets: string[][] = [['192.0.2.0/24'], ['192.0.2.0/25']]
const limits: KeyLimit[] = [{ name: 'a', limit: 1, windowSeconds: 1 }]

const terms = fc.record({
  name: fc.constantFrom('a', 'b'),
  permissions: fc.array(fc.constantFrom('a:read', 'b:read'), { maxLength: 2 }),
  enabled: fc.boolean(),
  expiresAt: fc.constantFrom(null, 1_000, 2_000),
  allowedNetworks: fc.constantFrom(null, ...nets),
  limits: fc.constantFrom(null, limits),
  isMetered: fc.boolean(),
})

describe('what a change is told as', () => {
  test('are the terms that changed, both ways, and no others', () => {
    fc.assert(
      fc.property(terms, terms, (before, after) => {
        const told = differences(before, after)
        expect({ ...before, ...told.after }).toEqual(after)
        expect({ ...after, ...told.before }).toEqual(before)
        expect(Object.keys(told.before)).toEqual(Object.keys(told.after))
        for (const name of Object.keys(told.after)) {
          expect(Reflect.get(before, name)).not.toEqual(Reflect.get(after, name))
        }
      }),
    )
  })

  test('of metadata the names alone, and no more of them than fit', () => {
    const secret = 'hunter2'
    const told = differences(
      { metadata: { kept: { a: [1] }, changed: secret, gone: secret } },
      { metadata: { kept: { a: [1] }, changed: 2, made: secret, toString: secret } },
    )
    expect(told).toEqual({
      before: {},
      after: {},
      metadata: { names: ['changed', 'gone', 'made', 'toString'] },
    })
    const many = Object.fromEntries(
      Array.from({ length: 500 }, (_, index) => [`${index}${'x'.repeat(100)}`, 1]),
    )
    const { metadata } = differences({ metadata: null }, { metadata: many })
    expect(metadata?.more).toBe(480)
    expect(JSON.stringify(metadata).length).toBeLessThan(2_000)
    expect(differences({ metadata: { a: 1, b: 2 } }, { metadata: { b: 2, a: 1 } })).toEqual({
      before: {},
      after: {},
    })
  })

  test('is nothing of what the key is made of', () => {
    const made = {
      name: 'a',
      ownerId: 'usr_ann',
      permissions: [],
      expiresAt: null,
      metadata: { a: 'hunter2' },
    }
    const given = { ...made, secretHash: '$argon2id$the-hash', start: 'lk_abcd', last4: 'wxyz' }
    const text = JSON.stringify([
      termsOf(given),
      differences(given, { ...given, ...{ secretHash: 'other' } }),
    ])
    expect(text).not.toMatch(/argon|other|lk_abcd|wxyz|hunter2/)
    expect(termsOf(given)).toEqual({
      name: 'a',
      ownerId: 'usr_ann',
      permissions: [],
      expiresAt: null,
      metadata: { names: ['a'] },
    })
  })
})
