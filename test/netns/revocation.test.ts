/**
 * The bound of docs/revocation.md over a network: `login` in one namespace, in the other a `service-a` for each stale
 * mode, and the link between them taken down and up. Needs root and iproute2; `bun run test netns` runs it.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import {
  type Answer,
  ask,
  commands,
  dropNetwork,
  linkDown,
  linkUp,
  type Machine,
  makeNetwork,
  names,
  startMachine,
  until,
  waitUntilReady,
} from './machines.ts'

const boundMs = 1_000
/** The longest pause of a follower between two attempts, and a connection made anew. */
const reconnectMs = 1_500
const maxStalenessMs = 3_000

const password = 'a password for two machines'
const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64')
const metricsToken = 'for-whoever-measures'
const loginUrl = 'http://10.77.0.1:3000'
const urls = { allow: 'http://10.77.0.2:3001', deny: 'http://10.77.0.2:3002' }
const modes = ['allow', 'deny'] as const
type Mode = (typeof modes)[number]

const now = (): number => performance.timeOrigin + performance.now()

let login: Machine
let services: Record<Mode, Machine>
let admin: string

/** How to end each probe that is under way. */
const running = new Set<() => Promise<void>>()

type Sent = { readonly at: number; readonly status: number }

/** Asks one service all the time, from its own machine. */
const startProbe = (mode: Mode, header: string) => {
  const sent: Sent[] = []
  const child = Bun.spawn(
    [
      'ip',
      'netns',
      'exec',
      names.service,
      process.execPath,
      join(import.meta.dir, 'probe.ts'),
      `${urls[mode]}/documents`,
    ],
    { stdin: 'pipe', stdout: 'pipe', stderr: 'inherit' },
  )
  child.stdin.write(`${header}\n`)
  child.stdin.flush()
  const read = async (): Promise<void> => {
    const decoder = new TextDecoder()
    let rest = ''
    for await (const chunk of child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const [at = 0, status = 0] = line.split(' ').map(Number)
        sent.push({ at, status })
      }
    }
  }
  const reading = read()
  const stop = async (): Promise<void> => {
    running.delete(stop)
    child.stdin.end()
    await child.exited
    await reading
  }
  running.add(stop)
  return {
    sent,
    /** Waits until one of its answers has this status; resolves to when that was sent, counted from a time. */
    first: async (status: number, from: number, seconds = 10): Promise<number> => {
      const found = (): Sent | undefined => sent.find(one => one.at >= from && one.status === status)
      await until(`${status} of ${mode}`, () => found() !== undefined, seconds)
      return (found()?.at ?? Number.NaN) - from
    },
    /** The last that was let in from a time on, counted from it; 0 where none was. */
    lastLetIn: (from: number): number =>
      Math.max(
        0,
        ...sent.filter(({ at, status }) => at >= from && status === 200).map(({ at }) => at - from),
      ),
    stop,
  }
}
type Probe = ReturnType<typeof startProbe>

const asAdmin = (method: string, path: string, json?: unknown): Answer =>
  ask(names.login, `${loginUrl}${path}`, { method, header: `authorization: Bearer ${admin}`, json })

const signIn = (email: string, text: string): string => {
  const { body } = ask(names.login, `${loginUrl}/auth/login`, {
    method: 'POST',
    json: { email, password: text },
  })
  const { access_token: token }: { access_token: string } = JSON.parse(body)
  return token
}

let users = 0

/** Somebody with a token and a key, each asking both services all the time. */
const startUser = async (): Promise<{
  id: string
  probes: Record<Mode, Record<'token' | 'key', Probe>>
  stop: () => Promise<void>
}> => {
  users += 1
  const email = `user${users}@example.com`
  const { id }: { id: string } = JSON.parse(asAdmin('POST', '/users', { email, password }).body)
  const token = signIn(email, password)
  const start = (mode: Mode) => {
    const options = {
      method: 'POST',
      header: `authorization: Bearer ${token}`,
      json: { name: 'link', permissions: ['documents:read'] },
    }
    const { key }: { key: string } = JSON.parse(ask(names.service, `${urls[mode]}/api-keys`, options).body)
    return {
      token: startProbe(mode, `authorization: Bearer ${token}`),
      key: startProbe(mode, `x-api-key: ${key}`),
    }
  }
  const probes = { allow: start('allow'), deny: start('deny') }
  const all = modes.flatMap(mode => [probes[mode].token, probes[mode].key])
  await Promise.all(all.map(probe => probe.first(200, 0)))
  return { id, probes, stop: async () => void (await Promise.all(all.map(probe => probe.stop()))) }
}

const disable = (id: string): number => {
  expect(asAdmin('POST', `/users/${id}/disable`).status).toBe(200)
  return now()
}

const readyz = (mode: Mode): Answer => ask(names.service, `${urls[mode]}/readyz`)

const metric = (mode: Mode, name: string): number => {
  const options = { header: `authorization: Bearer ${metricsToken}` }
  const { body } = ask(names.service, `${urls[mode]}/metrics`, options)
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(body)?.[1] ?? Number.NaN)
}

beforeAll(async () => {
  makeNetwork()
  login = startMachine(names.login, commands.onLogin, {
    'client-secret': `${secret}\n`,
    'admin-password': `${password}\n`,
  })
  const start = (mode: Mode): Machine => {
    const settings = `STALE_MODE=${mode} MAX_STALENESS_SECONDS=${maxStalenessMs / 1_000} FAILURES_PER_ADDRESS_PER_MINUTE=0 KEY_LIMIT_PER_MINUTE=0 METRICS_TOKEN='${metricsToken}' PORT=${urls[mode].slice(-4)} `
    const command = commands.onService.replace('./latchkey', `${settings}./latchkey`)
    return startMachine(names.service, command, { 'client-secret': `${secret}\n` })
  }
  await waitUntilReady(names.login, loginUrl)
  services = { allow: start('allow'), deny: start('deny') }
  for (const mode of modes) await waitUntilReady(names.service, urls[mode])
  admin = signIn('admin@example.com', password)
})

afterAll(async () => {
  await Promise.all([...running].map(stop => stop()))
  await Promise.all([login, services.allow, services.deny].map(machine => machine.stop()))
  dropNetwork()
})

/** Waits until both follow again, by what they say. */
const untilFollowing = (): Promise<void> =>
  until('both services follow', () => modes.every(mode => readyz(mode).body.includes('"ok"')))

// A test that failed must not take the others along.
afterEach(() => {
  linkUp()
})

describe('two machines and a link between them', () => {
  test(`with the link up, a disabled user’s tokens and keys are refused within ${boundMs} ms`, async () => {
    const { id, probes, stop } = await startUser()
    const ackedAt = disable(id)
    for (const mode of modes) {
      const times = [await probes[mode].token.first(401, ackedAt), await probes[mode].key.first(403, ackedAt)]
      process.stdout.write(
        `link up, ${mode}: refused ${times.map(time => time.toFixed(0)).join(' and ')} ms after\n`,
      )
      for (const time of times) expect(time).toBeLessThanOrEqual(boundMs)
      for (const probe of [probes[mode].token, probes[mode].key]) {
        expect(probe.lastLetIn(ackedAt)).toBeLessThanOrEqual(boundMs)
      }
    }
    await stop()
  })

  test('with the link down, one mode goes on and says so, the other denies everybody; up again, what was changed holds', async () => {
    const [victim, bystander] = [await startUser(), await startUser()]
    const downAt = now()
    linkDown()
    const ackedAt = disable(victim.id)

    // Denied in time, and told of.
    const denied = await bystander.probes.deny.key.first(503, downAt)
    expect(denied).toBeLessThanOrEqual(maxStalenessMs + 100)
    await until('deny says that it is not ready', () => readyz('deny').status === 503)
    await until('allow says that it is degraded', () => readyz('allow').body.includes('"degraded"'))
    expect(readyz('allow').status).toBe(200)
    for (const mode of modes) {
      expect(metric(mode, 'latchkey_feed_lag_seconds')).toBeGreaterThanOrEqual(maxStalenessMs / 1_000)
      // A poll that the link swallowed is given up after its wait and three seconds more.
      await until('the feed down', () => metric(mode, 'latchkey_feed_up') === 0)
    }
    // The one goes on with everybody, since it can not know; the other with nobody.
    const toldAt = now()
    expect(await victim.probes.allow.key.first(200, toldAt)).toBeLessThan(boundMs)
    expect(await bystander.probes.allow.token.first(200, toldAt)).toBeLessThan(boundMs)
    await until('some time', () => now() > downAt + 6_000)
    for (const probe of [victim.probes.deny.key, victim.probes.deny.token, bystander.probes.deny.token]) {
      expect(probe.lastLetIn(downAt)).toBeLessThanOrEqual(maxStalenessMs)
    }
    expect(ackedAt).toBeLessThan(toldAt)

    const upAt = now()
    linkUp()
    for (const mode of modes) {
      const { token, key } = victim.probes[mode]
      const times = [await token.first(401, upAt), await key.first(403, upAt)]
      const served = await bystander.probes[mode].key.first(200, upAt)
      process.stdout.write(
        `link up again, ${mode}: refused ${times.map(time => time.toFixed(0)).join(' and ')} ms, served ${served.toFixed(0)} ms after\n`,
      )
      for (const time of [...times, token.lastLetIn(upAt), key.lastLetIn(upAt), served]) {
        expect(time).toBeLessThanOrEqual(boundMs + reconnectMs)
      }
    }
    await untilFollowing()
    for (const mode of modes) expect(metric(mode, 'latchkey_feed_up')).toBe(1)
    for (const mode of modes) {
      for (const probe of [bystander.probes[mode].token, bystander.probes[mode].key]) {
        expect(probe.sent.filter(({ status }) => status >= 400 && status < 500)).toEqual([])
      }
    }
    await Promise.all([victim.stop(), bystander.stop()])
  })

  test('a link that is down for a second only: what was changed meanwhile holds soon after', async () => {
    const { id, probes, stop } = await startUser()
    linkDown()
    const ackedAt = disable(id)
    await until('a second', () => now() > ackedAt + 1_000)
    const upAt = now()
    linkUp()
    for (const mode of modes) {
      const time = await probes[mode].key.first(403, upAt)
      process.stdout.write(`down for a second, ${mode}: refused ${time.toFixed(0)} ms after\n`)
      // As above, a poll that was swallowed is waited for.
      expect(time).toBeLessThanOrEqual(4_000 + reconnectMs)
    }
    await stop()
  })
})
