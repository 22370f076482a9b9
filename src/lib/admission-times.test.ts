import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { decodeTimes, encodeTimes, mergeTimes } from './admission-times.ts'

const someTimes = fc
  .array(fc.nat(2 ** 45), { maxLength: 200, size: 'max' })
  .map(times => times.toSorted((a, b) => a - b))

describe('times of admissions', () => {
  test('are read as they were written', () => {
    fc.assert(fc.property(someTimes, times => expect(decodeTimes(encodeTimes(times))).toEqual(times)))
    const most = Array.from({ length: 10_000 }, (_, index) => 1_700_000_000_000 + index * 259_200)
    expect(decodeTimes(encodeTimes(most))).toEqual(most)
  })

  test('take two bytes each where they are within 16 s of one another', () => {
    const times = Array.from({ length: 10_000 }, (_, index) => 1_700_000_000_000 + index * 16_383)
    expect(encodeTimes(times).length).toBe(1 + 6 + 2 * 9_999)
  })

  test('are not read from what was cut off in the midst of one', () => {
    const bytes = encodeTimes([1_700_000_000_000, 1_700_000_100_000])
    expect(decodeTimes(bytes)).toHaveLength(2)
    expect(decodeTimes(bytes.subarray(0, -1))).toBeNull()
    expect(decodeTimes(bytes.subarray(0, 0))).toBeNull()
  })

  test('are not read from another form, nor where there are more than a limit can be, nor beyond safe numbers', () => {
    expect(decodeTimes(Uint8Array.of(1, 5))).toEqual([5])
    expect(decodeTimes(Uint8Array.of(0, 5))).toBeNull()
    expect(decodeTimes(Uint8Array.of(2, 5))).toBeNull()
    expect(decodeTimes(new Uint8Array(10_001).fill(1))).toHaveLength(10_000)
    expect(decodeTimes(new Uint8Array(10_002).fill(1))).toBeNull()
    const largest = encodeTimes([Number.MAX_SAFE_INTEGER])
    expect(decodeTimes(largest)).toEqual([Number.MAX_SAFE_INTEGER])
    expect(decodeTimes(Uint8Array.of(...largest, 1))).toBeNull()
    expect(decodeTimes(Uint8Array.of(1, ...Array.from({ length: 8 }, () => 0x80), 0))).toBeNull()
  })

  test('are whole, safe and in order, or not read, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200, size: 'max' }), bytes => {
        const times = decodeTimes(Uint8Array.of(1, ...bytes))
        if (times === null) return
        expect(times.every(Number.isSafeInteger)).toBe(true)
        expect(times).toEqual(times.toSorted((a, b) => a - b))
      }),
    )
  })

  test('of several processes are put together, and equal ones are as many as there were', () => {
    expect(mergeTimes([[1, 3, 3], [], [2, 3]])).toEqual([1, 2, 3, 3, 3])
    const many = Array.from({ length: 9_000 }, (_, index) => index)
    expect(mergeTimes([many, many])).toHaveLength(10_000)
    expect(mergeTimes([many, many])[0]).toBe(4_000)
  })
})
