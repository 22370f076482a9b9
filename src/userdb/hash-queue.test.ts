import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { createHashQueue } from './hash-queue.ts'
import { codeOf } from './test-store.ts'

test('PWD-07: as calls come and go, as many run as may, the rest wait in turn, what is too much is shed', async () => {
  const step = fc.constantFrom('call', 'finish')
  const bounds = { concurrency: fc.integer({ min: 1, max: 3 }), queueLimit: fc.integer({ min: 0, max: 3 }) }
  await fc.assert(
    fc.asyncProperty(fc.record(bounds), fc.array(step, { maxLength: 40 }), async (options, steps) => {
      const enqueue = createHashQueue(options)
      const running: (() => void)[] = []
      const begun: number[] = []
      const accepted: number[] = []
      const outcomes: Promise<unknown>[] = []
      let finished = 0
      for (const [call, action] of steps.entries()) {
        if (action === 'call') {
          const task = async () => {
            begun.push(call)
            await new Promise<void>(resolve => running.push(resolve))
          }
          const outcome = codeOf(enqueue(task))
          if (accepted.length - finished < options.concurrency + options.queueLimit) {
            accepted.push(call)
            outcomes.push(outcome)
          } else {
            expect(await outcome).toBe('overloaded')
          }
        } else if (running.length > 0) {
          running.shift()?.()
          finished += 1
          await Bun.sleep(0)
        }
        const expected = finished + Math.min(accepted.length - finished, options.concurrency)
        expect(begun).toEqual(accepted.slice(0, expected))
      }
      while (running.length > 0) {
        running.shift()?.()
        await Bun.sleep(0)
      }
      expect(await Promise.all(outcomes)).toEqual(accepted.map(() => null))
    }),
  )
})
