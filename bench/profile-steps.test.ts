import { expect, test } from 'bun:test'
import { type CpuProfile, countSamples, stepOf } from './profile-steps.ts'

const frame = (functionName: string, url = '') => ({ functionName, url, lineNumber: 1 })

test('a native function belongs to whoever calls it, and the innermost caller that is known decides', () => {
  const log = frame('write', '/x/node_modules/sonic-boom/index.js')
  const observe = frame('finish', '/x/src/lib/server.ts')
  expect(stepOf([frame('byteLength'), log, observe])).toBe('write the access log')
  expect(stepOf([frame('requestIP'), observe])).toBe('address of the caller')
  expect(stepOf([frame('now'), observe])).toBe('request id, headers, log entry')
  const clock = frame('steadyClock', '/x/src/lib/clock.ts')
  expect(stepOf([clock, frame('take', '/x/src/lib/named-windows.ts')])).toBe('count within limits')
  expect(stepOf([frame('map'), frame('(root)')])).toBe('Elysia and the response')
})

test('samples count, not the time between them, and none of those before the window', () => {
  const profile: CpuProfile = {
    nodes: [
      { id: 1, callFrame: frame('(root)'), children: [2, 3] },
      { id: 2, callFrame: frame('find', 'file:///x/src/lib/verified-cache.ts') },
      { id: 3, callFrame: frame('requestIP') },
    ],
    startTime: 1_000,
    endTime: 11_000,
    samples: [3, 3, 2, 2, 3],
    timeDeltas: [100, 100, 8_000, 200, 200],
  }
  expect(countSamples(profile, 3_000)).toEqual([
    { name: 'find lib/verified-cache.ts', step: 'look into the cache', samples: 2 },
    { name: 'requestIP', step: 'address of the caller', samples: 1 },
  ])
})
