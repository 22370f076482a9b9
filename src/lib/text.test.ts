import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { printablePattern } from './text.ts'

const printable = new RegExp(printablePattern)

describe('text that is shown to people', () => {
  test.each([
    'a',
    'Ann Example',
    'Zoë',
    '北京',
    'عربى',
    '🎉',
    '👩‍💻'.replaceAll('\u200d', ''),
    '<b>',
    "O'Brien",
    '¡',
  ])('may be %s', text => {
    expect(printable.test(text)).toBe(true)
  })

  test.each([
    ['nothing', ''],
    ['NUL', '\0'],
    ['a line', 'a\nb'],
    ['a line of another kind', 'a\u2028b'],
    ['an escape', '\u001b[31m'],
    ['a control of Latin-1', '\u0085'],
    ['a turn of direction', 'a\u202eb'],
    ['an isolate', '\u2066a'],
    ['a blank without width', 'a\u200bb'],
    ['a soft hyphen', 'a\u00adb'],
    ['a byte order mark', '\ufeffa'],
    ['half a pair', '\ud83c'],
    ['the other half', 'a\udf89'],
    ['halves in the wrong order', '\udf89\ud83c'],
    ['no character', '\uffff'],
  ])('HTTP-03, LOG-03: may not hold %s', (_, text) => {
    expect(printable.test(text)).toBe(false)
    expect(printable.test(`name ${text}`) && text !== '').toBe(false)
  })

  test('HTTP-03: is well-formed Unicode, whatever passes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), text => {
        if (printable.test(text)) expect(text.isWellFormed()).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  test('is judged at any length', () => {
    expect(printable.test('x'.repeat(100_000))).toBe(true)
    expect(printable.test(`${'x'.repeat(100_000)}\n`)).toBe(false)
  })
})
