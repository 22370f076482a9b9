import { expect, test } from 'bun:test'
import { residentOf, ticksOf } from './server-process.ts'

test('CPU time is user and system time, whatever the program is called', () => {
  const rest = 'S 1 2 3 4 5 6 7 8 9 10 150 27 0 0 20 0 12 0 99'
  expect(ticksOf(`42 (bun) ${rest}`)).toBe(177)
  expect(ticksOf(`42 (a) b (c)) ${rest}`)).toBe(177)
})

test('memory is what is resident, in bytes', () => {
  expect(residentOf('Name:\tbun\nVmHWM:\t   90000 kB\nVmRSS:\t   54321 kB\n')).toBe(54_321 * 1_024)
  expect(residentOf('Name:\tbun\n')).toBeNaN()
})
