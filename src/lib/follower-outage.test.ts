import { afterEach, beforeEach, describe, expect, mock, spyOn, test } from 'bun:test'
import type { Fetch } from './client-token.ts'
import { until } from './test-feed-server.ts'
import { type FollowerSetUp, setUpFollower } from './test-follower.ts'

let set: FollowerSetUp
beforeEach(() => {
  set = setUpFollower()
})
afterEach(() => set.end())

describe('a login that is away', () => {
  test('is tried again after pauses with full jitter of a second at most', async () => {
    const { server, pauses, kinds, follow } = set
    server.instead = () => new Response(null, { status: 503 })
    follow({ random: () => 1 })
    await until(() => pauses.length >= 8)
    expect(pauses.slice(0, 6)).toEqual([100, 200, 400, 800, 1_000, 1_000])
    expect(kinds()).toEqual(['lost'])
  })

  test('a token that the feed refuses is dropped once, and another one asked for', async () => {
    const { server, known, kinds, follow, settle } = set
    follow()
    await settle()
    let refusals = 0
    server.instead = (_, path) => {
      if (path !== '/changes' || refusals > 0) return null
      refusals += 1
      return new Response(null, { status: 401 })
    }
    server.setState('usr_a', { status: 'disabled' })
    await until(() => known.statusOf('usr_a') === 'disabled' && refusals === 1)
    await until(() => server.asked.filter(path => path === '/oauth/token').length === 2)
    expect(kinds()).not.toContain('lost')
  })

  test('a stop ends a poll that waits, and nothing is asked after it', async () => {
    const { server, known, follow } = set
    follow()
    await until(() => server.asked.some(path => path.includes('wait=5')))
    await set.follower?.stop()
    const { length } = server.asked
    server.setState('usr_a', { status: 'disabled' })
    await Bun.sleep(30)
    expect(server.asked).toHaveLength(length)
    expect(known.statusOf('usr_a')).toBe('unknown')
  })

  test('a stop while login is silent ends what is under way', async () => {
    const { server, kinds, follow } = set
    server.instead = () => new Promise<Response>(() => {})
    follow()
    await until(() => server.asked.length > 0)
    await set.follower?.stop()
    expect(kinds()).toEqual([])
  })
})

describe('an outage', () => {
  test('of less than a second is no news: neither that login was lost nor that it is back', async () => {
    const { server, pauses, kinds, follow } = set
    let elapsed = 0
    server.instead = () => new Response(null, { status: 503 })
    follow({ elapsed: () => elapsed })
    await until(() => pauses.length >= 5)
    elapsed = 999
    const { length } = pauses
    await until(() => pauses.length >= length + 3)
    expect(kinds()).toEqual([])
    expect(set.follower?.hasFailed).toBe(true)
    server.instead = () => null
    await until(() => set.follower?.isUp === true)
    expect(kinds()).toEqual(['resync', 'resynced', 'began'])
    expect(set.follower?.hasFailed).toBe(true)
  })

  test('is told once when it has lasted a second, and once that it is over, with its length', async () => {
    const { server, pauses, events, kinds, follow, settle } = set
    let elapsed = 0
    follow({ elapsed: () => elapsed })
    await settle()
    expect(set.follower?.hasFailed).toBe(false)
    server.instead = () => new Response(null, { status: 503 })
    server.setState('usr_a', { status: 'disabled' })
    await until(() => set.follower?.isUp === false)
    elapsed += 1_000
    await until(() => kinds().includes('lost'))
    const { length } = pauses
    await until(() => pauses.length >= length + 4)
    elapsed += 2_000
    server.instead = () => null
    await until(() => set.follower?.isUp === true)
    expect(kinds()).toEqual(['resync', 'resynced', 'began', 'lost', 'back'])
    expect(events.at(-1)).toEqual({ kind: 'back', afterSeconds: 3 })
  })

  test('after another is told as well', async () => {
    const { server, kinds, follow, settle } = set
    follow()
    await settle()
    for (const times of [1, 2]) {
      server.instead = () => new Response(null, { status: 503 })
      server.setState('usr_a', { status: 'disabled' })
      await until(() => kinds().filter(kind => kind === 'lost').length === times)
      server.instead = () => null
      await until(() => kinds().filter(kind => kind === 'back').length === times)
    }
  })
})

describe('an answer that does not come', () => {
  /** Milliseconds that were given to requests, in their order; none of them is answered any more. */
  const silence = (timeouts: number[]): Fetch => {
    let isSilent = false
    return async (url, init) => {
      const waits = url.includes('wait=2')
      isSilent ||= waits
      if (!isSilent) return fetch(url, init)
      // Whoever waits for `login` here has set its time just before.
      timeouts.push(lastTimeout)
      throw new Error('The operation timed out.')
    }
  }
  let lastTimeout = 0
  const { timeout } = AbortSignal
  beforeEach(() => {
    spyOn(AbortSignal, 'timeout').mockImplementation(milliseconds => {
      lastTimeout = milliseconds
      return timeout.call(AbortSignal, milliseconds)
    })
  })
  afterEach(() => mock.restore())

  test('is given up a second and a half after it had to come, and a fourth try may take 3 s more', async () => {
    const timeouts: number[] = []
    set.follow({ waitSeconds: 2, fetch: silence(timeouts) })
    await until(() => timeouts.length >= 9)
    expect(timeouts.slice(0, 9)).toEqual([3_500, 1_500, 1_500, 1_500, 4_500, 1_500, 1_500, 1_500, 4_500])
  })

  test('has the next try over a connection of its own: others that are kept may be as dead', async () => {
    const { pauses, follow } = set
    const kept: boolean[] = []
    let isSilent = false
    follow({
      fetch: async (url, init) => {
        if (url.endsWith('/oauth/token')) return fetch(url, init)
        kept.push(init.keepalive !== false)
        isSilent ||= url.includes('wait=5')
        if (isSilent && pauses.filter(pause => pause !== 200).length < 2) throw new Error('It timed out')
        return fetch(url, init)
      },
    })
    await until(() => set.kinds().includes('began') && kept.includes(false))
    await until(() => kept.filter(isKept => !isKept).length === 2)
    set.server.setState('usr_a', { status: 'disabled' })
    await until(() => set.known.statusOf('usr_a') === 'disabled' && kept.at(-1) === true)
    const first = kept.indexOf(false)
    expect(kept.slice(0, first)).not.toContain(false)
    expect(kept.slice(first, first + 2)).toEqual([false, false])
    expect(kept.slice(first + 2)).not.toContain(false)
  })

  test('of the token endpoint holds nothing up for longer than that', async () => {
    const { pauses, follow } = set
    follow({
      patienceMilliseconds: 20,
      tokens: { get: () => new Promise(() => {}), drop: () => {} },
      store: { ...set.known.store, position: () => ({ generation: 'g1', cursor: 'g1.0' }) },
    })
    await until(() => pauses.length >= 3)
    expect(set.server.asked).toEqual([])
  })
})

describe('answers that lead to the next at once', () => {
  test('empty ones that did not wait: with pauses that grow to a second', async () => {
    const { server, pauses, kinds, follow } = set
    server.instead = (_, path) =>
      path === '/changes' ? Response.json({ generation: 'g1', items: [], nextCursor: 'g1.0' }) : null
    follow()
    await until(() => pauses.length >= 6)
    expect(pauses.slice(-6)).toContain(1_000)
    expect(pauses.filter(pause => pause !== 200).slice(0, 3)).toEqual([100, 400, 800])
    expect(kinds()).not.toContain('lost')
  })

  test('the same page again and again: with pauses', async () => {
    const { server, pauses, follow } = set
    const change = server.setState('usr_a', { status: 'disabled' })
    server.instead = (_, path) =>
      path === '/changes'
        ? Response.json({ generation: 'g1', items: Array(500).fill(change), nextCursor: 'g1.1' })
        : null
    follow()
    await until(() => pauses.includes(1_000))
    expect(server.asked.length).toBeLessThan(30)
  })

  test('one that leads to a snapshot each time: with pauses, and told once a minute', async () => {
    const { server, pauses, events, kinds, follow } = set
    let elapsed = 0
    let polls = 0
    // Every second poll is answered, so that no two snapshots come without a change read between them.
    server.instead = (_, path) => {
      if (path !== '/changes') return null
      polls += 1
      return polls % 3 === 0 ? new Response(null, { status: 410 }) : null
    }
    follow({ elapsed: () => elapsed, waitSeconds: 0 })
    await until(() => pauses.filter(pause => pause === 1_000).length > 2)
    expect(kinds().filter(kind => kind === 'resync')).toHaveLength(2)
    expect(kinds().filter(kind => kind === 'resynced')).toHaveLength(2)
    elapsed = 60_000
    const { length } = events
    await until(() => events.length > length)
    const last = events.at(length)
    expect(last?.kind === 'resync' && last.reason === 'resync_required' && last.count).toBeGreaterThan(3)
  })
})
