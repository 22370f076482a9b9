import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Failure } from '../lib/failure.ts'
import { isAllowedFrom, mostNetworks, networksOf, toAllowedNetworks } from './allowed-networks.ts'

const errorsOf = (given: readonly string[]): Failure['errors'] => {
  try {
    toAllowedNetworks(given)
    return []
  } catch (error) {
    if (error instanceof Failure && error.code === 'invalid_request') return error.errors
    throw error
  }
}
const isAllowed = (allowedNetworks: string[] | null, address: string | null): boolean => {
  const networks = networksOf({ allowedNetworks })
  return networks === null || isAllowedFrom(networks, address)
}

describe('the networks of a body', () => {
  test('are stored spelled one way, and each once', () => {
    expect(
      toAllowedNetworks([
        '192.0.2.7',
        '2001:DB8:0::/32',
        '::ffff:192.0.2.7',
        '192.0.2.7/32',
        '2001:db8::/32',
      ]),
    ).toEqual(['192.0.2.7/32', '2001:db8::/32'])
  })

  test('that are wrong are all named, by their place and the rule, and without the value', () => {
    const errors = errorsOf(['192.0.2.0/24', 'office.example', '192.0.2.7/24', '192.0.2.7/33', ''])
    expect(errors?.map(({ field }) => field)).toEqual([1, 2, 3, 4].map(index => `allowedNetworks/${index}`))
    expect(JSON.stringify(errors)).not.toContain('office')
  })

  test('are no more than a request has time to look through', () => {
    const many = Array.from({ length: mostNetworks + 1 }, (_, index) => `192.0.2.${index}`)
    expect(toAllowedNetworks(many.slice(1))).toHaveLength(mostNetworks)
    expect(errorsOf(many)).toEqual([{ field: 'allowedNetworks', rule: 'must be at most 20 networks' }])
  })

  test('of hostile text fail in the declared way, and what is taken is taken again as it is', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.ipV4(),
      fc.ipV6(),
      fc.constant('10.0.0.0/8'),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 25 }), given => {
        if ((errorsOf(given) ?? []).length > 0) return
        const stored = toAllowedNetworks(given)
        expect(toAllowedNetworks(stored)).toEqual(stored)
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('a key', () => {
  test('without networks may be used from anywhere, also from nowhere that is known', () => {
    for (const address of ['192.0.2.7', '::1', null]) expect(isAllowed(null, address)).toBe(true)
  })

  test('with networks may be used from within any of them', () => {
    const networks = ['192.0.2.0/24', '2001:db8::/32']
    for (const address of ['192.0.2.7', '::ffff:192.0.2.7', '2001:db8::7']) {
      expect(isAllowed(networks, address)).toBe(true)
    }
    for (const address of ['192.0.3.7', '2001:db9::7', '', 'localhost']) {
      expect(isAllowed(networks, address)).toBe(false)
    }
  })

  test('with networks may not be used from an address that nobody knows', () => {
    expect(isAllowed(['0.0.0.0/0', '::/0'], null)).toBe(false)
  })

  test('with an empty list, or one of other text that a hand stored, may be used from nowhere', () => {
    for (const networks of [[], ['everywhere'], ['192.0.2.7/24'], ['']]) {
      expect(isAllowed(networks, '192.0.2.7')).toBe(false)
    }
    expect(isAllowed(['everywhere', '192.0.2.7'], '192.0.2.7')).toBe(true)
  })
})
