import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { RefusedBody } from './body.ts'
import { decodeFormText, parseForm, readForm } from './form.ts'

const parsed = (text: string, maxParameters = 64) => {
  const form = parseForm(text, maxParameters)
  return form instanceof RefusedBody ? form.failure.code : [...form]
}

describe('a form (RFC 6749 appendix B)', () => {
  test.each<[string, [string, string[]][] | string]>([
    ['', []],
    ['&&', []],
    ['a=b', [['a', ['b']]]],
    [
      'a=b&c=d',
      [
        ['a', ['b']],
        ['c', ['d']],
      ],
    ],
    ['a=b&a=c', [['a', ['b', 'c']]]],
    ['a', [['a', ['']]]],
    ['a=', [['a', ['']]]],
    ['=a', [['', ['a']]]],
    ['a=b=c', [['a', ['b=c']]]],
    ['a+b=c+d', [['a b', ['c d']]]],
    ['a=%2B%26%3D%25', [['a', ['+&=%']]]],
    ['a=%E2%82%AC', [['a', ['€']]]],
    ['__proto__=x', [['__proto__', ['x']]]],
    ['a=%', 'malformed_body'],
    ['a=%zz', 'malformed_body'],
    ['%ff=a', 'malformed_body'],
    ['a=%c0%80', 'malformed_body'],
  ])('%p is %j', (text, expected) => {
    expect(parsed(text)).toEqual(expected)
  })

  test('has as many parameters as allowed, counted before any is read', () => {
    expect(parsed('a&b&c', 3)).toHaveLength(3)
    expect(parsed('a&b&c&%', 3)).toBe('malformed_body')
    expect(parsed('&&&', 3)).toBe('malformed_body')
  })

  test('is read as what every encoder meant by it', () => {
    const text = fc.string({ unit: 'grapheme' }).filter(each => each.isWellFormed())
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text), { maxLength: 20 }), pairs => {
        const form = parseForm(
          `${new URLSearchParams(pairs.map(([name, value]): [string, string] => [name, value]))}`,
          64,
        )
        const read =
          form instanceof RefusedBody
            ? null
            : [...form].flatMap(([name, values]) => values.map(value => [name, value]))
        expect(read?.toSorted()).toEqual(pairs.toSorted())
      }),
    )
  })

  test('of any text is read or refused, and never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => {
        expect(Array.isArray(parsed(text)) || parsed(text) === 'malformed_body').toBe(true)
        expect(typeof (decodeFormText(text) ?? '')).toBe('string')
      }),
    )
  })

  test('is empty where a request has no body', async () => {
    const form = await readForm(new Request('http://localhost', { method: 'POST' }), {
      maxBytes: 1,
      maxParameters: 1,
    })
    expect(form).toEqual(new Map())
  })
})
