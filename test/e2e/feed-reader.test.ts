import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { changeTypes } from '../../src/lib/changes-schema.ts'
import { type CallOptions, call } from '../support/http.ts'
import { member, parseJson, textOf } from '../support/json.ts'
import { type Role, startRole } from '../support/role.ts'
import { createStage, type Stage } from '../support/stage.ts'
import { until } from '../support/wait.ts'

/** The example of a follower in another language, as its README has it run. */
const script = join(import.meta.dir, '..', '..', 'examples', 'feed-reader', 'reader.py')
const python = Bun.which('python3')
if (python === null) process.stderr.write('The reader of the feed is not tested: there is no python3.\n')

type Reader = {
  readonly lines: Record<string, unknown>[]
  readonly complaints: () => string
  /** The first line that has all these members. */
  line(members: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>>
  /** How it ended by itself. */
  ended(): Promise<number | null>
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<number | null>
}

const readers: Reader[] = []

const startReader = (env: Readonly<Record<string, string>>): Reader => {
  const child = Bun.spawn([python ?? 'python3', script], {
    env: { PATH: process.env.PATH ?? '', PYTHONDONTWRITEBYTECODE: '1', WAIT_SECONDS: '2', ...env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const lines: Record<string, unknown>[] = []
  let complaints = ''
  const readLines = async (): Promise<void> => {
    const decoder = new TextDecoder()
    let rest = ''
    for await (const chunk of child.stdout) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n')
      rest = parts.pop() ?? ''
      lines.push(...parts.map(text => ({ ...Object(parseJson(text)) })))
    }
  }
  const readComplaints = async (): Promise<void> => {
    for await (const chunk of child.stderr) complaints += new TextDecoder().decode(chunk)
  }
  const ended = Promise.all([child.exited, readLines(), readComplaints()])
  const find = (members: Readonly<Record<string, unknown>>) =>
    lines.find(line => Object.entries(members).every(([name, value]) => Bun.deepEquals(line[name], value)))
  const reader: Reader = {
    lines,
    complaints: () => complaints,
    line: async members => {
      const found = () => find(members) !== undefined
      await until(`a line with ${JSON.stringify(members)}`, found).catch(error => {
        throw new Error(`${error}: ${complaints}${JSON.stringify(lines)}`)
      })
      return find(members) ?? {}
    },
    ended: async () => {
      await ended
      return child.exitCode
    },
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal)
      return reader.ended()
    },
  }
  readers.push(reader)
  return reader
}

afterEach(async () => {
  for (const reader of readers.splice(0)) await reader.stop('SIGKILL')
})

describe.skipIf(python === null)('the reader in Python, beside login itself', () => {
  let stage: Stage
  let login: Role
  let token: string
  let env: Record<string, string>
  let secret: string
  const admin = { email: 'root@example.com', password: randomBytes(18).toString('base64url') }

  const ask = (path: string, options: CallOptions = {}) => call(login.url + path, { token, ...options })
  const signIn = (credentials: { email: string; password: string }) =>
    call(`${login.url}/auth/login`, { json: credentials })

  beforeAll(async () => {
    stage = createStage()
    login = await startRole(stage, {
      role: 'login',
      settings: { ADMIN_EMAIL: admin.email, ADMIN_PASSWORD: admin.password },
    })
    token = textOf((await signIn(admin)).body, 'access_token')
    const made = await ask('/clients', { json: { name: 'reader', scopes: ['changes:read'] } })
    secret = textOf(made.body, 'secret')
    env = {
      LOGIN_URL: login.url,
      CLIENT_ID: textOf(made.body, 'id'),
      CLIENT_SECRET: secret,
      STATE_FILE: join(stage.folder, 'feed-state.json'),
    }
  })
  afterAll(() => stage.end())

  test('tells of a disabled user and of the session that ended, goes on where it was, and outlives login', async () => {
    const first = startReader(env)
    await first.line({ type: 'snapshot', roles: ['admin', 'user'], status: 'active' })

    const ann = { email: 'ann@example.com', password: randomBytes(18).toString('base64url') }
    const subject = textOf((await ask('/users', { json: ann })).body, 'id')
    await first.line({ type: changeTypes.accountCreated, subject, status: 'active', roles: ['user'] })
    expect((await signIn(ann)).status).toBe(200)
    await ask(`/users/${subject}/disable`, { method: 'POST' })
    await first.line({ type: changeTypes.accountDisabled, subject, status: 'disabled' })
    const { session, expiresAt } = await first.line({ type: changeTypes.sessionRevoked })
    expect(session).toStartWith('ses_')
    expect(Date.parse(String(expiresAt))).toBeGreaterThan(Date.now())
    expect(await first.stop()).toBe(0)

    await ask(`/users/${subject}/enable`, { method: 'POST' })
    const second = startReader(env)
    const { sequence } = await second.line({ type: changeTypes.accountEnabled, subject, status: 'active' })
    // What was told before is not told again.
    expect(second.lines).toHaveLength(1)
    const told = first.lines.map(line => Number(line.sequence))
    expect(Math.max(...told)).toBeLessThan(Number(sequence))

    await login.kill()
    await login.restart()
    await ask(`/users/${subject}`, { method: 'DELETE' })
    await second.line({ type: changeTypes.accountPurged, subject, status: 'deleted' })

    const { STATE_FILE: file = '' } = env
    const saved = () => member(member(parseJson(readFileSync(file, 'utf8')), 'subjects'), subject)
    // What is told is saved after it: told twice is better than never.
    await until('it is saved', () => member(saved(), 'status') === 'deleted')
    expect(await second.stop()).toBe(0)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(existsSync(`${file}.new`)).toBe(false)
    const all = [first, second].map(reader => JSON.stringify(reader.lines) + reader.complaints()).join()
    expect(all + readFileSync(file, 'utf8')).not.toContain(secret)
    expect(all).not.toContain('eyJ')
  }, 30_000)

  test('with another secret, or without the scope, it complains once and waits', async () => {
    const made = await ask('/clients', { json: { name: 'other', scopes: ['documents:read'] } })
    const others = [
      { ...env, CLIENT_SECRET: 'x'.repeat(40) },
      { ...env, CLIENT_ID: textOf(made.body, 'id'), CLIENT_SECRET: textOf(made.body, 'secret') },
    ].map((settings, index) => ({ ...settings, STATE_FILE: join(stage.folder, `refused-${index}.json`) }))
    const started = others.map(startReader)
    for (const reader of started) {
      await until('a complaint', () => reader.complaints().includes('login can not be read (HTTP 40'))
      expect(reader.complaints().trim().split('\n')).toHaveLength(1)
      expect(reader.lines).toEqual([])
      expect(await reader.stop()).toBe(0)
    }
    for (const { STATE_FILE: file } of others) expect(existsSync(file)).toBe(false)
  }, 30_000)
})

describe.skipIf(python === null)('the reader in Python, beside a feed that has its days', () => {
  const active = { status: 'active', roles: ['user'], scopes: [] }
  const change = (sequence: number, members: object) => ({
    sequence,
    type: changeTypes.claimsChanged,
    at: '2026-01-01T00:00:00.000Z',
    subjectId: 'usr_ann',
    state: null,
    sessionId: null,
    tokenId: null,
    expiresAt: null,
    ...members,
  })
  let stage: Stage
  beforeAll(() => {
    stage = createStage()
  })
  afterAll(() => stage.end())

  /** A feed of one snapshot after another, and answers to `GET /changes` one by one; afterwards it is quiet. */
  const serveFeed = (given: { snapshots: object[]; changes: (object | number)[]; subjects?: object }) => {
    const asked: string[] = []
    const tokens: string[] = []
    const server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: async request => {
        const { pathname, searchParams } = new URL(request.url)
        asked.push(`${pathname} ${searchParams.get('after') ?? searchParams.get('page') ?? ''}`.trim())
        if (pathname === '/oauth/token') {
          tokens.push(`t${tokens.length}`)
          return Response.json({ access_token: tokens.at(-1), token_type: 'Bearer', expires_in: 300 })
        }
        if (request.headers.get('authorization') !== `Bearer ${tokens.at(-1)}`)
          return new Response('', { status: 401 })
        if (pathname === '/changes/snapshot') return Response.json(given.snapshots.shift())
        if (pathname.startsWith('/changes/subjects/')) return Response.json(given.subjects)
        const next = given.changes.shift()
        if (typeof next === 'number') {
          const headers = { location: '/elsewhere' }
          return new Response('', { status: next, ...(next === 302 ? { headers } : {}) })
        }
        if (next !== undefined) return Response.json(next)
        await Bun.sleep(200)
        const cursor = searchParams.get('after')
        return Response.json({ generation: 'g2', items: [], nextCursor: cursor })
      },
    })
    return { url: `http://127.0.0.1:${server.port}`, asked, [Symbol.dispose]: () => void server.stop(true) }
  }
  const follow = (url: string) =>
    startReader({
      LOGIN_URL: url,
      CLIENT_ID: 'cli_reader',
      CLIENT_SECRET: 'x'.repeat(40),
      STATE_FILE: join(stage.folder, `${crypto.randomUUID()}.json`),
    })

  test('repeats, disorder, kinds it never heard of, 401, 302, 500 and 410: each change is told once and none is lost', async () => {
    const subject = (id: string, state: object = active) => ({ kind: 'subject', id, state })
    const disabled = { ...active, status: 'disabled' }
    using feed = serveFeed({
      snapshots: [
        { generation: 'g1', cursor: 'a', sequence: 5, items: [subject('usr_ann')], nextPage: 'p2' },
        {
          generation: 'g1',
          cursor: 'a',
          sequence: 6,
          items: [subject('usr_bob'), { kind: 'unheard-of', id: 'x' }],
          nextPage: null,
        },
        {
          generation: 'g2',
          cursor: 'z',
          sequence: 1,
          items: [
            subject('usr_ann', { ...active, roles: ['admin'] }),
            { kind: 'session', id: 'ses_old', expiresAt: '2999-01-01T00:00:00.000Z' },
          ],
          nextPage: null,
        },
      ],
      subjects: { generation: 'g1', sequence: 9, id: 'usr_bob', state: disabled },
      changes: [
        // Of before its page of the snapshot, out of order, and twice.
        {
          generation: 'g1',
          nextCursor: 'b',
          items: [
            change(8, { state: disabled, type: changeTypes.accountDisabled }),
            change(7, { state: active }),
            change(8, { state: disabled, type: changeTypes.accountDisabled }),
            change(4, { subjectId: 'usr_bob', state: disabled }),
          ],
        },
        401,
        500,
        302,
        { generation: 'g1', nextCursor: 'c', items: [change(9, { type: 'urn:new', subjectId: 'usr_bob' })] },
        {
          generation: 'g1',
          nextCursor: 'd',
          items: [
            change(10, {
              type: changeTypes.tokenRevoked,
              tokenId: 'jti',
              expiresAt: '2999-01-01T00:00:00.000Z',
            }),
          ],
        },
        410,
      ],
    })
    const reader = follow(feed.url)
    await reader.line({ session: 'ses_old' })
    await until('the poll after the second snapshot', () => feed.asked.at(-1) === '/changes z')
    const ids = reader.lines.map(({ sequence, subject: who, status, roles, token, session }) => [
      sequence,
      who ?? token ?? session,
      ...(status === undefined ? [] : [status, roles]),
    ])
    expect(ids).toEqual([
      [5, 'usr_ann', 'active', ['user']],
      [6, 'usr_bob', 'active', ['user']],
      [8, 'usr_ann', 'disabled', ['user']],
      [9, 'usr_bob', 'disabled', ['user']],
      [10, 'jti'],
      [1, 'usr_ann', 'active', ['admin']],
      [1, 'ses_old'],
      [1, 'usr_bob', 'deleted', []],
    ])
    expect(feed.asked.filter(path => path === '/oauth/token')).toHaveLength(2)
    expect(feed.asked.filter(path => path.includes('elsewhere'))).toEqual([])
    expect(feed.asked).toContain('/changes/snapshot p2')
    // A token that ended before its time is no outage: another one is asked for at once.
    expect(reader.complaints()).toContain('login can not be read (HTTP 500)')
    expect(reader.complaints()).not.toContain('HTTP 401')
    expect(reader.complaints()).toContain('reading everything anew')
    expect(await reader.stop()).toBe(0)
  }, 30_000)

  test('it brings its secret to no other machine in the clear', async () => {
    const reader = follow('http://login.example')
    expect(await reader.ended()).toBe(1)
    expect(reader.complaints()).toContain('must be https')
  }, 30_000)
})
