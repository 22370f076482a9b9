import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  createNetworks,
  formatAddress,
  formatNetwork,
  type Network,
  parseAddress,
  parseNetwork,
} from './networks.ts'

/** A network that a test knows to be one. */
const network = (text: string): Network => {
  const read = parseNetwork(text)
  if (!read.ok) throw new Error(`${text} ${read.rule}`)
  return read.network
}
const contains = (networkText: string, address: string): boolean =>
  createNetworks([network(networkText)]).contains(address)
const spelled = (text: string): string | null => {
  const address = parseAddress(text)
  return address === null ? null : formatAddress(address)
}

/** The definition, by big integers: nothing of it is shared with what is tested. */
const v4Text = (value: bigint): string =>
  [24n, 16n, 8n, 0n].map(shift => String((value >> shift) & 255n)).join('.')
const v6Text = (value: bigint): string =>
  [112n, 96n, 80n, 64n, 48n, 32n, 16n, 0n].map(shift => ((value >> shift) & 65_535n).toString(16)).join(':')
const cleared = (value: bigint, width: bigint, prefix: bigint): bigint =>
  (value >> (width - prefix)) << (width - prefix)

const mappedBits = 0xffffn << 32n
const v4 = fc.bigInt(0n, 2n ** 32n - 1n)
const v6 = fc
  .oneof(
    fc.bigInt(0n, 2n ** 128n - 1n),
    // Runs of zeros, several of a length among them.
    fc
      .array(fc.constantFrom(0n, 1n), { minLength: 8, maxLength: 8 })
      .map(groups => groups.reduce<bigint>((value, group) => (value << 16n) | group, 0n)),
    fc.bigInt(0n, 2n ** 40n),
    fc.constantFrom(0n, 1n, 2n ** 127n),
  )
  .filter(value => value >> 32n !== 0xffffn)
const families = [
  ['IPv4', v4, 32n, v4Text],
  ['IPv6', v6, 128n, v6Text],
] as const

describe.each(families)('a network of %s', (_, addresses, width, textOf) => {
  test('has in it exactly the addresses whose leading bits agree', () => {
    fc.assert(
      fc.property(
        addresses,
        addresses,
        fc.bigInt(0n, width),
        fc.bigInt(0n, width),
        (one, other, prefix, near) => {
          const text = `${textOf(cleared(one, width, prefix))}/${prefix}`
          fc.pre(parseNetwork(text).ok)
          // One that differs in a single bit, around the edge as a rule, and one from anywhere.
          const neighbour = near === 0n ? one : one ^ (1n << (width - near))
          for (const address of [one, neighbour, other]) {
            const expected = cleared(address, width, prefix) === cleared(one, width, prefix)
            // An IPv6 address can become a mapped one, which is IPv4.
            if (width === 128n && address >> 32n === 0xffffn) continue
            expect(contains(text, textOf(address))).toBe(expected)
          }
        },
      ),
      { numRuns: 2_000 },
    )
  })

  test('can not have a bit beyond its prefix, nor a longer prefix than there are bits', () => {
    fc.assert(
      fc.property(addresses, fc.bigInt(0n, width), (value, prefix) => {
        expect(parseNetwork(`${textOf(value)}/${prefix}`).ok).toBe(cleared(value, width, prefix) === value)
      }),
    )
    expect(parseNetwork(`${textOf(0n)}/${width + 1n}`)).toEqual({
      ok: false,
      rule: `must have a prefix of 0 to ${width}`,
    })
  })

  test('is the same after it was written and read again, and an address is one of itself alone', () => {
    fc.assert(
      fc.property(addresses, fc.bigInt(0n, width), (value, prefix) => {
        const one = network(`${textOf(cleared(value, width, prefix))}/${prefix}`)
        expect(network(formatNetwork(one))).toEqual(one)
        expect(network(textOf(value))).toEqual(network(`${textOf(value)}/${width}`))
        expect(spelled(spelled(textOf(value)) ?? '')).toBe(spelled(textOf(value)))
      }),
    )
  })
})

describe('an address', () => {
  test('of IPv6 is spelled as the platform spells it (RFC 5952)', () => {
    fc.assert(
      fc.property(v6, value => {
        expect(`[${spelled(v6Text(value))}]`).toBe(new URL(`http://[${v6Text(value)}]`).hostname)
      }),
      { numRuns: 1_000 },
    )
  })

  test('of IPv4 is the same one however it is mapped to IPv6', () => {
    fc.assert(
      fc.property(v4, value => {
        const text = v4Text(value)
        for (const other of [`::ffff:${text}`, `0:0:0:0:0:FFFF:${text}`, v6Text(mappedBits | value)]) {
          expect(parseAddress(other)).toEqual(parseAddress(text))
          expect(spelled(other)).toBe(text)
        }
      }),
    )
  })

  test.each([
    '',
    ' ',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '0x7f.0.0.1',
    '2130706433',
    '1.2.3.256',
    '1.2.3.4 ',
    '１.2.3.4',
    '1.2.3.4\0',
    '1.2.3.4/32',
    '::1%lo',
    'fe80::1%eth0',
    '[::1]',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '::12345',
    '::ffff:01.2.3.4',
    'localhost',
  ])('is not %j', text => expect(parseAddress(text)).toBeNull())

  test('is not a text of any length', () => {
    for (const text of [`${'0'.repeat(10_000)}::1`, '1.'.repeat(10_000), '0:'.repeat(10_000)]) {
      expect(parseAddress(text)).toBeNull()
      expect(parseNetwork(`${text}/8`).ok).toBe(false)
    }
  })
})

describe('a network', () => {
  test.each([
    '10.0.0.0/',
    '10.0.0.0/08',
    '10.0.0.0/+8',
    '10.0.0.0/-1',
    '10.0.0.0/8.0',
    '10.0.0.0/255.0.0.0',
    '10.0.0.0/8/8',
    '10/8',
    '/8',
    ' 10.0.0.0/8',
    '10.0.0.0 /8',
    'fe80::%eth0/64',
    '::ffff:0:0/95',
    '*',
  ])('is not %j', text => expect(parseNetwork(text).ok).toBe(false))

  test('of mapped addresses is one of IPv4', () => {
    expect(formatNetwork(network('::ffff:10.0.0.0/104'))).toBe('10.0.0.0/8')
    expect(formatNetwork(network('::FFFF:0:0/96'))).toBe('0.0.0.0/0')
    expect(contains('10.0.0.0/8', '::ffff:10.1.2.3')).toBe(true)
    expect(contains('::ffff:10.0.0.0/104', '10.1.2.3')).toBe(true)
  })

  test('of the one family has no address of the other in it, however wide', () => {
    expect(contains('::/0', '::1')).toBe(true)
    for (const address of ['1.2.3.4', '::ffff:1.2.3.4']) expect(contains('::/0', address)).toBe(false)
    expect(contains('0.0.0.0/0', '1.2.3.4')).toBe(true)
    for (const address of ['::1', '::1.2.3.4', '64:ff9b::1.2.3.4']) {
      expect(contains('0.0.0.0/0', address)).toBe(false)
    }
  })

  test('is spelled one way', () => {
    expect(
      ['2001:DB8:0:0::/32', '2001:db8::/032', '192.0.2.7', '::1'].map(text => parseNetwork(text).ok),
    ).toEqual([true, false, true, true])
    expect(['2001:DB8:0:0::/32', '192.0.2.7', '::1'].map(text => formatNetwork(network(text)))).toEqual([
      '2001:db8::/32',
      '192.0.2.7/32',
      '::1/128',
    ])
  })

  test('or an address of hostile text is refused by a rule, and is in no network', () => {
    const everywhere = createNetworks([network('0.0.0.0/0'), network('::/0')])
    const pieces = fc.constantFrom(
      '0',
      '1',
      '25',
      'f',
      'ffff',
      '.',
      ':',
      '::',
      '/',
      '%',
      '[',
      ']',
      ' ',
      '\0',
      '-',
      '８',
    )
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 80 }),
      fc.array(pieces, { maxLength: 24 }).map(parts => parts.join('')),
    )
    fc.assert(
      fc.property(hostile, text => {
        const read = parseNetwork(text)
        if (!read.ok) {
          expect(read.rule).toMatch(/^must /)
          expect(parseAddress(text)).toBeNull()
          expect(everywhere.contains(text)).toBe(false)
        } else {
          expect(parseNetwork(formatNetwork(read.network))).toEqual(read)
        }
      }),
      { numRuns: 5_000 },
    )
  })
})

describe('several networks', () => {
  const several = createNetworks(['10.0.0.0/8', '192.0.2.7', '2001:db8::/32'].map(network))

  test('have in them what any of them has', () => {
    for (const address of ['10.255.255.255', '192.0.2.7', '2001:db8:ffff::']) {
      expect(several.contains(address)).toBe(true)
    }
    for (const address of ['11.0.0.0', '192.0.2.6', '2001:db9::', '', 'x']) {
      expect(several.contains(address)).toBe(false)
    }
  })

  test('answer each question by itself, whatever was asked before', () => {
    const { contains: inSeveral } = createNetworks([network('10.0.0.0/8'), network('2001:db8::/32')])
    const asked = ['10.0.0.1', '10.0.0.1', '11.0.0.1', '11.0.0.1', 'x', '10.0.0.1', 'x', '2001:db8::1']
    expect(asked.map(text => inSeveral(text))).toEqual([true, true, false, false, false, true, false, true])
  })

  test('that are none have nobody in them', () => {
    expect(createNetworks([]).contains('127.0.0.1')).toBe(false)
  })
})
