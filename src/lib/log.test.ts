import { describe, expect, test } from 'bun:test'
import { createLog, type LogLevel, logLevels } from './log.ts'

const record = (level: LogLevel = 'debug') => {
  const written: string[] = []
  return { written, log: createLog({ level, service: 'login' }, { write: text => written.push(text) }) }
}

/** Ends of lines for somebody or other, what terminals take as commands, and what JSON itself must escape. */
const nasty = 'a\r\nb\n{"level":"info"}\vc\fd\u0000e\u001b[31mf"g\\h\ud800i'
/** Ends of lines too (Unicode UAX 14; NEL is C1), and commands in one byte. */
const alsoNasty = 'a\u0085b\u2028c\u2029d\u007fe\u009b31mf'

describe('LOG-03: a line', () => {
  const fill = (text: string) => {
    const { log, written } = record()
    log.info({ requestId: text, nested: { list: [text] }, [text]: 1 }, text)
    log.error({ error: new Error(text, { cause: new TypeError(text) }) }, 'failed')
    return written
  }

  test('is one JSON object, and the only one, whatever stands in any field', () => {
    const written = fill(nasty)
    expect(written).toHaveLength(2)
    for (const line of written) {
      expect(line).toMatch(/^\{\P{Cc}*\}\n$/u)
      expect(JSON.parse(line)).toMatchObject({ service: 'login' })
    }
    expect(JSON.parse(written[0] ?? '')).toMatchObject({
      level: 'info',
      requestId: nasty,
      nested: { list: [nasty] },
      [nasty]: 1,
      msg: nasty,
    })
    expect(JSON.parse(written[1] ?? '')).toMatchObject({
      level: 'error',
      error: { type: 'Error', message: nasty, cause: { type: 'TypeError', message: nasty } },
    })
  })

  test('keeps NEL, U+2028, U+2029, DEL and C1 encoded too: some readers end lines there', () => {
    for (const line of fill(alsoNasty)) {
      expect(line).not.toMatch(/[\u007f-\u009f\u2028\u2029]/)
      expect(line).toContain('a\\u0085b\\u2028c\\u2029d\\u007fe\\u009b31mf')
    }
  })

  test('of text that JSON can not hold is a line all the same', () => {
    const { log, written } = record()
    const circle: Record<string, unknown> = {}
    circle.self = circle
    log.info({ circle }, 'a circle')
    log.info({ big: 2n ** 70n }, 'a big number')
    log.info({ nothing: undefined, symbol: Symbol('x'), text: () => 'x' }, 'what JSON leaves out')
    const lines = written.map(line => JSON.parse(line))
    expect(lines.map(({ msg }) => msg)).toEqual(['a circle', 'a big number', 'what JSON leaves out'])
  })

  test('says when, in UTC, how bad it is in a word, and which service', () => {
    const { log, written } = record()
    for (const level of ['debug', 'info', 'warn', 'error'] as const) log[level]({}, level)
    for (const [index, level] of ['debug', 'info', 'warn', 'error'].entries()) {
      expect(JSON.parse(written[index] ?? '')).toEqual({
        level,
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        service: 'login',
        msg: level,
      })
    }
  })
})

describe('LOG-02: an error', () => {
  const driverError = () =>
    Object.assign(new Error('failed', { cause: Object.assign(new Error('why'), { params: ['a secret'] }) }), {
      params: ['a secret'],
      request: { headers: { authorization: 'a secret' } },
      code: 'SQLITE_BUSY',
    })

  test('is logged with type, message and stack, down its causes, and nothing that a driver put there', () => {
    const { log, written } = record()
    log.error({ error: driverError() }, 'unexpected error')
    const { error } = JSON.parse(written[0] ?? '')
    expect(error).toEqual({
      type: 'Error',
      message: 'failed',
      stack: expect.stringContaining('log.test.ts'),
      cause: { type: 'Error', message: 'why', stack: expect.any(String) },
    })
    expect(written.join()).not.toContain('a secret')
  })

  test('that is none, but was thrown all the same, is named by its type', () => {
    const { log, written } = record()
    for (const error of ['a secret', { password: 'a secret' }, null, undefined, 7])
      log.error({ error }, 'thrown')
    expect(written).toHaveLength(5)
    expect(written.join()).not.toContain('a secret')
  })

  test('whose causes have no end, or turn in a circle, is cut', () => {
    const { log, written } = record()
    const first = new Error('first')
    first.cause = new Error('second', { cause: first })
    log.error({ error: first }, 'failed')
    expect(written).toHaveLength(1)
    expect((written[0] ?? '').length).toBeLessThan(20_000)
  })

  test('that is handed over in another way is logged no other way', () => {
    const { log, written } = record()
    log.error(driverError())
    log.error({ err: driverError() }, 'failed')
    expect(written.join()).toContain('failed')
    expect(written.join()).not.toContain('a secret')
  })
})

test('less than the level is not written', () => {
  for (const level of logLevels) {
    const { log, written } = record(level)
    for (const each of ['debug', 'info', 'warn', 'error'] as const) log[each]({}, each)
    expect(written).toHaveLength(4 - logLevels.indexOf(level))
  }
})
