import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { clientAddress, mostHops, proxyFaults, trustedProxies } from './client-address.ts'

const proxies = ['10.0.0.0/8', '127.0.0.1', 'fd00::/8']
const through = (peer: string, forwarded: string | null, trusted: readonly string[] = proxies): string => {
  const compiled = trustedProxies(trusted)
  if (compiled === null) throw new Error('no proxy is trusted')
  return clientAddress(peer, forwarded, compiled)
}

describe('AUT-11: the client before a trusted proxy', () => {
  test.each<[string, string, string | null, string]>([
    ['one hop', '10.0.0.1', '203.0.113.9', '203.0.113.9'],
    ['the rightmost hop that is no proxy', '10.0.0.1', '203.0.113.9, 10.0.0.2, 10.0.0.3', '203.0.113.9'],
    ['and nothing left of it', '10.0.0.1', '192.0.2.1, 203.0.113.9, 10.0.0.2', '203.0.113.9'],
    ['however often it is forged', '10.0.0.1', '10.0.0.9, 127.0.0.1, 203.0.113.9', '203.0.113.9'],
    ['the peer, which said nothing', '10.0.0.1', null, '10.0.0.1'],
    ['the peer, for an empty header', '10.0.0.1', '', '10.0.0.1'],
    ['the leftmost of proxies alone', '10.0.0.1', '10.0.0.3,10.0.0.2', '10.0.0.3'],
    ['the peer, which is no proxy', '203.0.113.5', '192.0.2.1', '203.0.113.5'],
    ['spaces and tabs or none', '10.0.0.1', ' 192.0.2.1 ,\t203.0.113.9\t,10.0.0.2 ', '203.0.113.9'],
    ['a hop with a port', '10.0.0.1', '203.0.113.9:4711', '203.0.113.9'],
    ['a hop of IPv6', 'fd00::1', '2001:DB8:0:0::1', '2001:db8::1'],
    ['a hop in brackets', '10.0.0.1', '[2001:db8::1]', '2001:db8::1'],
    ['a hop in brackets with a port', '10.0.0.1', '[2001:db8::1]:443, [fd00::2]:1', '2001:db8::1'],
    ['a mapped peer', '::ffff:10.0.0.1', '203.0.113.9', '203.0.113.9'],
    ['a mapped hop', '10.0.0.1', '203.0.113.9, ::ffff:10.0.0.2', '203.0.113.9'],
    ['a peer on a link of its own', 'fd00::1%eth0', '203.0.113.9', '203.0.113.9'],
  ])('%s: %s with %j is %s', (_, peer, forwarded, expected) => {
    expect(through(peer, forwarded)).toBe(expected)
  })

  test.each([
    'unknown',
    '_hidden',
    'unix:',
    '',
    ' ',
    '203.0.113.9.example',
    '203.0.113',
    '203.0.113.09',
    '203.0.113.9:',
    '203.0.113.9:port',
    '203.0.113.9:123456',
    '[203.0.113.9]',
    '[2001:db8::1',
    '2001:db8::1]:80',
    '[2001:db8::1]80',
    'fe80::1%eth0',
    '"203.0.113.9"',
    'for=203.0.113.9',
    '203.0.113.9 203.0.113.9',
    '203.0.113.9'.padEnd(80, 'x'),
  ])('is the proxy that wrote %j, which is no address, and nobody left of that', hop => {
    expect(through('10.0.0.1', `192.0.2.1, ${hop}`)).toBe('10.0.0.1')
    expect(through('10.0.0.1', `192.0.2.1, ${hop}, 10.0.0.2`)).toBe('10.0.0.2')
    expect(through('10.0.0.1', `192.0.2.1, ${hop}, 203.0.113.9`)).toBe('203.0.113.9')
  })

  test('is found among no more hops than a way through proxies can have', () => {
    const way = (hops: number): string => ['203.0.113.9', ...Array(hops - 1).fill('10.0.0.2')].join()
    expect(through('10.0.0.1', way(mostHops))).toBe('203.0.113.9')
    expect(through('10.0.0.1', way(mostHops + 1))).toBe('10.0.0.2')
  })

  test('is not told by a peer that has no address, such as a socket of the file system', () => {
    expect(through('', '203.0.113.9')).toBe('')
    expect(through('@', '203.0.113.9')).toBe('@')
  })

  const address = fc.oneof(
    fc.ipV4(),
    fc.constantFrom('10.0.0.1', '10.9.9.9', '127.0.0.1', 'fd00::1', '2001:db8::1'),
  )
  const hop = fc.oneof(
    { weight: 4, arbitrary: address },
    { weight: 1, arbitrary: fc.constantFrom('unknown', '', 'x.y') },
  )
  const isTrusted = (text: string): boolean =>
    text.startsWith('10.') || text === '127.0.0.1' || text.startsWith('fd')
  const isAddress = (text: string): boolean => !['unknown', '', 'x.y'].includes(text)

  test('is what one finds who goes through the list from its end', () => {
    fc.assert(
      fc.property(address, fc.array(hop, { maxLength: 40 }), (peer, hops) => {
        let expected = peer
        for (const next of hops.toReversed().slice(0, mostHops)) {
          if (!isTrusted(expected) || !isAddress(next)) break
          expected = next
        }
        expect(through(peer, hops.join(', '))).toBe(expected)
      }),
      { numRuns: 2_000 },
    )
  })

  test('is not changed by anything that a client puts before its own address', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 200 }),
        fc.array(hop, { maxLength: 40 }),
        (text, hops) => {
          for (const forged of [text, hops.join()]) {
            expect(through('10.0.0.1', `${forged}, 203.0.113.9, 10.0.0.2`)).toBe('203.0.113.9')
          }
        },
      ),
    )
  })

  test('is found without going through all of a header that is far too long', () => {
    const forwarded = `${'10.0.0.2,'.repeat(500_000)}10.0.0.3`
    expect(through('10.0.0.1', forwarded)).toBe('10.0.0.2')
    expect(through('10.0.0.1', ','.repeat(5_000_000))).toBe('10.0.0.1')
  })
})

describe('the list of trusted proxies', () => {
  test('is nothing at all where it is empty, so that nobody asks it', () => {
    expect(trustedProxies([])).toBeNull()
  })

  test('names what is wrong with it by its place', () => {
    expect(proxyFaults(['10.0.0.0/8', '10.0.0.1/8', 'proxy.example', '::1'])).toMatchObject([
      { index: 1, rule: expect.stringContaining('no bit set beyond its prefix') },
      { index: 2, rule: expect.stringContaining('address or a network') },
    ])
    expect(() => trustedProxies(['::1', 'x'])).toThrow(/^trustedProxies\[1\] must be an address or a network/)
  })

  test.each(['0.0.0.0/0', '::/0', '::ffff:0:0/96'])('can not be everybody, as %s', everybody => {
    expect(() => trustedProxies([everybody])).toThrow(/everybody/)
  })
})
