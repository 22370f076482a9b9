import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type Presented, readCredential } from './credential.ts'

const read = (headers: Record<string, string>): Presented =>
  readCredential(new Headers(headers), text => text.startsWith('lk_'))

const refused = (code: Extract<Presented, { kind: 'refused' }>['code']): Presented => ({
  kind: 'refused',
  code,
})

describe('the credential of a request', () => {
  test.each([
    ['a token', { authorization: 'Bearer a.b.c' }, { kind: 'bearer', text: 'a.b.c' }],
    ['AUT-05: a scheme in lower case', { authorization: 'bearer a.b.c' }, { kind: 'bearer', text: 'a.b.c' }],
    ['AUT-05: a scheme in upper case', { authorization: 'BEARER a.b.c' }, { kind: 'bearer', text: 'a.b.c' }],
    ['several blanks', { authorization: 'Bearer    a.b.c' }, { kind: 'bearer', text: 'a.b.c' }],
    ['a key after Bearer', { authorization: 'Bearer lk_x' }, { kind: 'key', text: 'lk_x' }],
    ['a key', { 'x-api-key': 'lk_x' }, { kind: 'key', text: 'lk_x' }],
    ['any text where a key belongs', { 'X-API-KEY': 'a.b.c' }, { kind: 'key', text: 'a.b.c' }],
    ['AUT-03: nothing', {}, refused('credential_missing')],
    ['AUT-03: an empty key', { 'x-api-key': '' }, refused('credential_missing')],
    ['AUT-03: blanks as key', { 'x-api-key': '  ' }, refused('credential_missing')],
    ['AUT-03: an empty authorization', { authorization: '' }, refused('credential_missing')],
    ['AUT-03: a scheme alone', { authorization: 'bearer' }, refused('credential_missing')],
    ['AUT-03: Basic', { authorization: 'Basic YTpi' }, refused('credential_unsupported')],
    ['AUT-03: Digest', { authorization: 'Digest username="a"' }, refused('credential_unsupported')],
    ['AUT-03: a key as scheme', { authorization: 'lk_x' }, refused('credential_unsupported')],
    ['AUT-03: a tab after the scheme', { authorization: 'Bearer\ta.b.c' }, refused('credential_unsupported')],
    ['AUT-06: both', { authorization: 'Bearer a.b.c', 'x-api-key': 'lk_x' }, refused('credential_ambiguous')],
    ['AUT-06: both empty', { authorization: '', 'x-api-key': '' }, refused('credential_ambiguous')],
    [
      'AUT-06: Basic and a key',
      { authorization: 'Basic YTpi', 'x-api-key': 'lk_x' },
      refused('credential_ambiguous'),
    ],
    ['AUT-07: two of one kind', { authorization: 'Bearer a, Bearer b' }, refused('credential_ambiguous')],
    ['AUT-07: two of two kinds', { authorization: 'Basic YTpi, Bearer a' }, refused('credential_ambiguous')],
    ['AUT-07: two keys', { 'x-api-key': 'lk_x, lk_y' }, refused('credential_ambiguous')],
    ['AUT-07: a key and nothing', { 'x-api-key': 'lk_x, ' }, refused('credential_ambiguous')],
  ] as const)('%s', (_, headers, expected) => {
    expect(read(headers)).toEqual(expected)
  })

  test('AUT-06: neither cookies nor other headers carry one', () => {
    expect(
      read({
        cookie: 'authorization=Bearer a',
        'proxy-authorization': 'Bearer a',
        'x-forwarded-user': 'usr_1',
      }),
    ).toEqual(refused('credential_missing'))
  })

  test('AUT-07: repeated headers are ambiguous, whatever they hold', () => {
    const visible = fc.string({ unit: 'grapheme-ascii' })
    fc.assert(
      fc.property(fc.constantFrom('authorization', 'x-api-key'), visible, visible, (name, first, second) => {
        const headers = new Headers()
        headers.append(name, first)
        headers.append(name, second)
        expect(readCredential(headers, () => true)).toEqual({ kind: 'refused', code: 'credential_ambiguous' })
      }),
    )
  })

  test('whatever the headers hold, what is presented is part of it and free of commas', () => {
    const value = fc.option(fc.string({ unit: 'grapheme-ascii' }), { nil: null })
    fc.assert(
      fc.property(value, value, (authorization, key) => {
        const presented = read({
          ...(authorization === null ? {} : { authorization }),
          ...(key === null ? {} : { 'x-api-key': key }),
        })
        if (presented.kind === 'refused') return
        expect(authorization === null || key === null).toBe(true)
        const text = presented.text
        expect(text).not.toContain(',')
        expect(text).not.toBe('')
        expect(authorization ?? key).toContain(text)
      }),
    )
  })
})
