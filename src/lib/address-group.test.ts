import { expect, test } from 'bun:test'
import { BlockList } from 'node:net'
import fc from 'fast-check'
import { addressGroupOf } from './address-group.ts'

test('an IPv4 address stands for itself, over a socket of both families as well', () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.ipV4(), (one, other) => {
      expect(addressGroupOf(one)).toBe(one)
      expect(addressGroupOf(`::ffff:${one}`)).toBe(one)
      expect(addressGroupOf(one) === addressGroupOf(other)).toBe(one === other)
    }),
  )
})

const group = fc.oneof(fc.constantFrom(0, 1, 0xffff), fc.integer({ min: 0, max: 0xffff }))
const groups = (length: number) => fc.array(group, { minLength: length, maxLength: length })

/** Ways to write an address: whole, with zeros in front, in capitals, and short. */
const spellings = (address: readonly number[]): string[] => {
  const plain = address.map(part => part.toString(16))
  const padded = plain.map(part => part.padStart(4, '0'))
  const short = new URL(`http://[${plain.join(':')}]`).hostname.slice(1, -1)
  return [plain.join(':'), padded.join(':'), padded.join(':').toUpperCase(), short, `${short}%eth0`]
}

test('IPv6 addresses stand for their network of 64 bits, however they are written', () => {
  fc.assert(
    fc.property(groups(4), groups(4), groups(4), groups(4), (network, host, otherHost, other) => {
      // Those of IPv4 are in a network of their own, as one address each.
      fc.pre(network.some(part => part !== 0) && other.some(part => part !== 0))
      const name = addressGroupOf(spellings([...network, ...host])[0] ?? '')
      const inside = [...spellings([...network, ...host]), ...spellings([...network, ...otherHost])]
      expect(new Set(inside.map(addressGroupOf))).toEqual(new Set([name]))
      const [outside = ''] = spellings([...other, ...host])
      const block = new BlockList()
      block.addSubnet(inside[0] ?? '', 64, 'ipv6')
      expect(addressGroupOf(outside) === name).toBe(block.check(outside, 'ipv6'))
    }),
    { numRuns: 500 },
  )
})

test.each([
  ['::1', '0:0:0:0::/64'],
  ['::', '0:0:0:0::/64'],
  ['2001:db8::7', '2001:db8:0:0::/64'],
  ['2001:db8:0:1::', '2001:db8:0:1::/64'],
  ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
  ['1:2:3:4:5:6:192.0.2.1', '1:2:3:4::/64'],
])('%s is of %s', (address, name) => {
  expect(addressGroupOf(address)).toBe(name)
})

test('whatever text stands for an address has a name, and a short one', () => {
  expect(addressGroupOf(null)).toBe('')
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ maxLength: 300 }),
        fc.string({ unit: fc.constantFrom(...':.0f%'), maxLength: 300 }),
      ),
      text => {
        expect(addressGroupOf(text).length).toBeLessThanOrEqual(80)
      },
    ),
  )
})
