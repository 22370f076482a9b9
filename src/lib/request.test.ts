import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { trustedProxies } from './client-address.ts'
import { addressOf, auditContextOf, factsOf, pathOf, trustProxies } from './request.ts'

const requestWith = (id?: string): Request =>
  new Request('http://localhost/', id === undefined ? {} : { headers: { 'x-request-id': id } })
const ownId = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/

describe('LOG-03: the id of a request', () => {
  test.each(['req-1', 'a', '_', 'A_b-9', 'x'.repeat(64)])('that a caller gives, as %s, is kept', id => {
    expect(factsOf(requestWith(id)).id).toBe(id)
  })

  test.each([
    '',
    'x'.repeat(65),
    'a b',
    'a,b',
    'a;b',
    'a.b',
    '{"id":1}',
    '<b>',
    '%0d%0a',
    '../etc',
    '\u00e9',
    'a\tb',
  ])('that could harm a log, as %j, is replaced', id => {
    expect(factsOf(requestWith(id)).id).toMatch(ownId)
  })

  test('is of harmless characters whatever header comes', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[\t -~\x80-\xff]{0,80}$/), header => {
        expect(factsOf(requestWith(header)).id).toMatch(/^[\w-]{1,64}$/)
      }),
    )
  })

  test('that nobody gives is made, and no two are the same', () => {
    const ids = Array.from({ length: 100 }, () => factsOf(requestWith()).id)
    expect(new Set(ids).size).toBe(100)
    for (const id of ids) expect(id).toMatch(ownId)
  })

  test('stays for the whole request, and belongs to that one alone', () => {
    const [one, other] = [requestWith('same'), requestWith('same')]
    const facts = factsOf(one)
    expect(facts).toEqual({ id: 'same', actorId: null, code: null })
    facts.actorId = 'usr_1'
    facts.code = 'not_found'
    expect(factsOf(one)).toBe(facts)
    expect(factsOf(other)).toEqual({ id: 'same', actorId: null, code: null })
  })
})

describe('the context of an audit row', () => {
  test('is who asked, by which request, from which address', () => {
    const request = requestWith('req-1')
    const server = { requestIP: (asked: Request) => (asked === request ? { address: '192.0.2.1' } : null) }
    expect(auditContextOf(request, server, 'usr_1')).toEqual({
      actorId: 'usr_1',
      requestId: 'req-1',
      address: '192.0.2.1',
    })
  })

  test('AUT-11: takes no address from a header', () => {
    const headers = {
      'x-forwarded-for': '198.51.100.1',
      'x-real-ip': '198.51.100.1',
      forwarded: 'for=198.51.100.1',
    }
    const request = new Request('http://localhost/', { headers })
    expect(auditContextOf(request, { requestIP: () => null }, null).address).toBeNull()
    expect(auditContextOf(request, null, null).address).toBeNull()
  })

  test('AUT-11: takes it from one where the peer is a proxy whose word is taken, and asks for it once', () => {
    const headers = { 'x-forwarded-for': '192.0.2.1, 198.51.100.1', 'x-real-ip': '192.0.2.1' }
    let asked = 0
    const server = {
      requestIP: () => {
        asked += 1
        return { address: '::ffff:10.0.0.1' }
      },
    }
    for (const [proxies, expected] of [
      [[], '10.0.0.1'],
      [['10.0.0.2'], '10.0.0.1'],
      [['10.0.0.1'], '198.51.100.1'],
    ] as const) {
      const request = new Request('http://localhost/', { headers })
      trustProxies(request, trustedProxies(proxies))
      asked = 0
      expect([addressOf(request, server), addressOf(request, server)]).toEqual([expected, expected])
      expect(asked).toBe(1)
    }
  })

  test('has the id under which the answer and the log name the request', () => {
    const request = requestWith()
    expect(auditContextOf(request, null, null).requestId).toBe(factsOf(request).id)
  })
})

test('LOG-02: a key or token that was pasted into a path is not in the path of the log', () => {
  const key = `lk_${'a1B2c'.repeat(13)}`
  const token = `eyJ${'x'.repeat(20)}.eyJ${'y'.repeat(40)}.${'z'.repeat(43)}`
  for (const secret of [key, token]) {
    const path = pathOf(`http://localhost/api-keys/${secret}/rotate?key=${secret}`)
    expect(path).not.toContain(secret.slice(5, 40))
    expect(path.endsWith('/rotate')).toBe(true)
  }
  expect(pathOf(`http://localhost/documents/${'x'.repeat(128)}`)).toBe(`/documents/${'x'.repeat(128)}`)
})

test('LOG-02: what begins like a token is as it was, but for a key in it', () => {
  const key = 'a1B2c'.repeat(13)
  const plain = `/${'x'.repeat(64)}/eyJa.eyJb/eyJ/eyJ.a.b/`
  expect(pathOf(`http://localhost${plain}`)).toBe(plain)
  expect(pathOf(`http://localhost/eyJlk_${key}.a`)).toBe('/eyJlk….a')
  expect(pathOf(`http://localhost/${'x'.repeat(64)}eyJeyJ_a.eyJ-b.c_d.e`)).toBe(`/${'x'.repeat(64)}….e`)
})

test('a path that begins a token again and again is read once', () => {
  // Would take some ten seconds, were the rest of the path looked through for each.
  expect(pathOf(`http://localhost/${'eyJ'.repeat(80_000)}`)).toBe(`/${'eyJ'.repeat(85)}`)
})
