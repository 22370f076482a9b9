import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { normalizeEmail, requireEmail } from './email.ts'

// Planes 0 and 1, which hold all letters that have a case.
const points = Array.from({ length: 0x20000 - 0x21 }, (_, index) => String.fromCodePoint(index + 0x21))

// Letters with one capital and one small form. Sharp s and the final sigma have more; a mail server may well
// keep their spellings apart, so that this library does too.
const isSimplyCased = (letter: string): boolean => {
  const capital = letter.toUpperCase()
  return (
    /^\p{Ll}$/u.test(letter) &&
    !'σς'.includes(letter) &&
    [...capital].length === 1 &&
    capital.toLowerCase() === letter &&
    letter.normalize('NFKC') === letter &&
    capital.normalize('NFKC') === capital
  )
}
const simplyCasedWord = fc
  .array(fc.constantFrom(...points.filter(isSimplyCased)), { minLength: 1, maxLength: 12 })
  .map(letters => letters.join(''))

describe('PWD-13: one address has one normal form', () => {
  test.each([
    ['Ann@Example.COM', 'ann@example.com'],
    ['ａｎｎ＠example.com', 'ann@example.com'],
    ['first.last+tag@mail.example.co.uk', 'first.last+tag@mail.example.co.uk'],
    ["o'hara_{x}@example.com", "o'hara_{x}@example.com"],
    ['admin@localhost', 'admin@localhost'],
    ['BÜCHER@BÜCHER.example', 'bücher@bücher.example'],
    ['cafe\u0301@example.com', 'café@example.com'],
    ['J\u030C@example.com', 'ǰ@example.com'],
  ])('%p becomes %p', (written, stored) => {
    expect(normalizeEmail(written)).toBe(stored)
  })

  test('normalising twice changes nothing, whatever the text', () => {
    const anything = fc.string({ unit: 'binary', maxLength: 20 })
    fc.assert(
      fc.property(anything, anything, (local, domain) => {
        const once = normalizeEmail(`${local}@${domain}`)
        if (once !== null) expect(normalizeEmail(once)).toBe(once)
      }),
    )
    for (const point of points) {
      const once = normalizeEmail(`a${point}@example.com`)
      if (once !== null && normalizeEmail(once) !== once) throw new Error(point)
    }
  })

  test('capitals and composition make no difference', () => {
    fc.assert(
      fc.property(simplyCasedWord, simplyCasedWord, (local, domain) => {
        const email = `${local}@${domain}.example`
        const normal = normalizeEmail(email)
        expect(normalizeEmail(email.toUpperCase())).toBe(normal)
        expect(normalizeEmail(email.normalize('NFD'))).toBe(normal)
        expect(normalizeEmail(email.normalize('NFC'))).toBe(normal)
      }),
    )
  })
})

describe('PWD-13: what can hide in an address is refused, not taken out', () => {
  test.each([
    ['nothing', ''],
    ['no @', 'ann.example.com'],
    ['two @', 'ann@b@example.com'],
    ['no local part', '@example.com'],
    ['no domain', 'ann@'],
    ['a space before', ' ann@example.com'],
    ['a line break after', 'ann@example.com\n'],
    ['a space inside', 'a nn@example.com'],
    ['a no-break space', 'ann\u00A0@example.com'],
    ['an ideographic space', 'ann\u3000@example.com'],
    ['a space mark that NFKC keeps', 'an\u1680n@example.com'],
    ['a line separator', 'ann\u2028@example.com'],
    ['NUL', 'ann\u0000@example.com'],
    ['a control character', 'ann\u0085@example.com'],
    ['a zero-width space', 'an\u200Bn@example.com'],
    ['a zero-width joiner', 'an\u200Dn@example.com'],
    ['a soft hyphen', 'an\u00ADn@example.com'],
    ['a byte order mark', '\uFEFFann@example.com'],
    ['a direction override', '\u202Eann@example.com'],
    ['a letter that draws nothing', 'an\u3164n@example.com'],
    ['a mark that draws nothing', 'an\u034Fn@example.com'],
    ['a variation selector', 'ann\uFE0F@example.com'],
    ['a lone surrogate', 'ann\uD800@example.com'],
    ['a quoted local part', '"ann"@example.com'],
    ['a display name', 'Ann<ann@example.com>'],
    ['two addresses', 'ann@example.com,bob@example.com'],
    ['an empty label', 'ann@example..com'],
    ['a dot at the end', 'ann@example.com.'],
    ['a hyphen first in a label', 'ann@-example.com'],
    ['a hyphen last in a label', 'ann@example-.com'],
    ['an underscore in the domain', 'ann@exa_mple.com'],
    ['a slash in the domain', 'ann@example.com/x'],
    ['an address literal', 'ann@[127.0.0.1]'],
  ])('%s', (_, text) => {
    expect(normalizeEmail(text)).toBeNull()
  })

  const domainOf = (length: number): string =>
    `${'d'.repeat(63)}.`
      .repeat(4)
      .slice(0, length - 1)
      .replace(/\.?$/, 'd')

  test.each([
    ['a local part of 64 octets', `${'a'.repeat(64)}@example.com`, true],
    ['a local part of 65', `${'a'.repeat(65)}@example.com`, false],
    ['a local part of 33 letters of 2 octets', `${'é'.repeat(33)}@example.com`, false],
    ['a label of 63', `a@${'b'.repeat(63)}.com`, true],
    ['a label of 64', `a@${'b'.repeat(64)}.com`, false],
    ['254 octets in all', `a@${domainOf(252)}`, true],
    ['255 octets in all', `a@${domainOf(253)}`, false],
  ])('lengths of RFC 5321: %s', (_, text, taken) => {
    expect(normalizeEmail(text) !== null).toBe(taken)
  })
})

test('a refusal names the field and the rule, never the value', () => {
  expect(requireEmail('Ann@example.com')).toBe('ann@example.com')
  expect(() => requireEmail('secret value')).toThrow(
    expect.objectContaining({
      code: 'email_invalid',
      errors: [{ field: 'email', rule: expect.not.stringContaining('secret') }],
    }),
  )
})
