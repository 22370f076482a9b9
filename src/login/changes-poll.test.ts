import { describe, expect, test } from 'bun:test'
import { createPolls } from './changes-poll.ts'

/** A change log that is told by hand, and counts who listens. */
const createBell = () => {
  const listeners = new Set<() => void>()
  return {
    listeners,
    ring: () => {
      for (const listener of [...listeners]) listener()
    },
    watch: (listener: () => void) => {
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
      }
    },
  }
}

const forever = new AbortController().signal
const isAnswer = (count: number): boolean => count > 0

describe('waiting for an answer', () => {
  test('is over at once when there is one, or no time to wait', async () => {
    const bell = createBell()
    const polls = createPolls({ changes: bell })
    const wait = (answer: number, seconds: number) =>
      polls.wait({ caller: 'cli_1', seconds, signal: forever, ask: async () => answer, isAnswer })
    expect(await wait(1, 20)).toBe(1)
    expect(await wait(0, 0)).toBe(0)
    expect(bell.listeners.size).toBe(0)
  })

  test('asks again whenever something may have happened, and ends with the first answer', async () => {
    const bell = createBell()
    const polls = createPolls({ changes: bell })
    let [count, asked] = [0, 0]
    const ask = async () => {
      asked += 1
      return count
    }
    const waiting = polls.wait({ caller: 'cli_1', seconds: 20, signal: forever, ask, isAnswer })
    await Bun.sleep(1)
    bell.ring()
    await Bun.sleep(1)
    // Not more than once before it waits, and once for the bell.
    expect(asked).toBe(2)
    count = 7
    bell.ring()
    expect(await waiting).toBe(7)
    expect(bell.listeners.size).toBe(0)
  })

  test('misses nothing that happens while it is asked', async () => {
    const bell = createBell()
    const polls = createPolls({ changes: bell })
    let count = 0
    const ask = async () => {
      const answer = count
      // Committed after the reading, and told before the waiting.
      if (bell.listeners.size > 0 && count === 0) {
        count = 1
        bell.ring()
      }
      await Bun.sleep(1)
      return answer
    }
    expect(await polls.wait({ caller: 'cli_1', seconds: 20, signal: forever, ask, isAnswer })).toBe(1)
  })

  test('asks only after it has begun to listen, for what another process commits in between', async () => {
    const bell = createBell()
    const polls = createPolls({ changes: bell })
    // Nobody is told of what was there when the listening began.
    const ask = async () => bell.listeners.size
    expect(await polls.wait({ caller: 'cli_1', seconds: 20, signal: forever, ask, isAnswer })).toBe(1)
  })

  test('ends with an empty answer when the time is up', async () => {
    const bell = createBell()
    const polls = createPolls({ changes: bell })
    expect(
      await polls.wait({ caller: 'cli_1', seconds: 0.02, signal: forever, ask: async () => 0, isAnswer }),
    ).toBe(0)
    expect(bell.listeners.size).toBe(0)
  })

  test('ends when the caller is gone, and nothing of it is left', async () => {
    const bell = createBell()
    const polls = createPolls({ changes: bell, limit: 1 })
    for (let turn = 0; turn < 3; turn += 1) {
      const caller = new AbortController()
      const waiting = polls.wait({
        caller: 'cli_1',
        seconds: 20,
        signal: caller.signal,
        ask: async () => 0,
        isAnswer,
      })
      await Bun.sleep(1)
      expect(bell.listeners.size).toBe(1)
      caller.abort()
      expect(await waiting).toBe(0)
      expect(bell.listeners.size).toBe(0)
    }
    const gone = AbortSignal.abort()
    expect(
      await polls.wait({ caller: 'cli_1', seconds: 20, signal: gone, ask: async () => 0, isAnswer }),
    ).toBe(0)
  })

  test('ends for all when the service is on its way out, and from then on nobody waits', async () => {
    const bell = createBell()
    const polls = createPolls({ changes: bell })
    const wait = () =>
      polls.wait({ caller: 'cli_1', seconds: 20, signal: forever, ask: async () => 0, isAnswer })
    const waiting = [wait(), wait(), wait()]
    await Bun.sleep(1)
    expect(bell.listeners.size).toBe(3)
    polls.end()
    expect(await Promise.all(waiting)).toEqual([0, 0, 0])
    expect(await wait()).toBe(0)
    expect(bell.listeners.size).toBe(0)
  })

  test('fails as the asking does, and nothing of it is left', async () => {
    const bell = createBell()
    const polls = createPolls({ changes: bell, limit: 1 })
    let isBroken = false
    const ask = async () => {
      if (isBroken) throw new Error('broken')
      return 0
    }
    const waiting = polls.wait({ caller: 'cli_1', seconds: 20, signal: forever, ask, isAnswer })
    await Bun.sleep(1)
    isBroken = true
    bell.ring()
    await expect(waiting).rejects.toThrow('broken')
    expect(bell.listeners.size).toBe(0)
  })

  test('is refused to a caller who has all places that one may have, and to no other', async () => {
    const bell = createBell()
    const polls = createPolls({ changes: bell, limit: 5, limitEach: 2 })
    const wait = (caller: string) =>
      polls.wait({ caller, seconds: 20, signal: forever, ask: async () => 0, isAnswer })
    const waiting = [wait('cli_1'), wait('cli_1')]
    await Bun.sleep(1)
    await expect(wait('cli_1')).rejects.toMatchObject({ code: 'unavailable', retryAfterSeconds: 1 })
    expect(bell.listeners.size).toBe(2)
    waiting.push(wait('cli_2'), wait('cli_2'))
    await Bun.sleep(1)
    expect(bell.listeners.size).toBe(4)
    polls.end()
    expect(await Promise.all(waiting)).toEqual([0, 0, 0, 0])
  })

  test('is refused to more than may wait, who may come again; whoever has something to hear is answered', async () => {
    const bell = createBell()
    const polls = createPolls({ changes: bell, limit: 2 })
    const wait = (answer = 0) =>
      polls.wait({ caller: 'cli_1', seconds: 20, signal: forever, ask: async () => answer, isAnswer })
    const waiting = [wait(), wait()]
    await Bun.sleep(1)
    await expect(wait()).rejects.toMatchObject({ code: 'unavailable', retryAfterSeconds: 1 })
    expect(await wait(1)).toBe(1)
    polls.end()
    await Promise.all(waiting)
  })
})
