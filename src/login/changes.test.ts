import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Value } from '@sinclair/typebox/value'
import { bySystem } from '../lib/audit.ts'
import { ChangesPage, SnapshotPage, SubjectAnswer } from '../lib/changes-schema.ts'
import { type Answer, contractOf, expectAnswer } from '../lib/test-http.ts'
import { type Served, serve } from '../lib/test-serve.ts'
import { addClient, clientToken, createFeedSite } from './test-feed.ts'
import { createPeople, createTestLogin, openLoginDatabase, type TestLogin } from './test-login.ts'

let login: TestLogin
let reader: Record<string, string>
beforeEach(async () => {
  login = createTestLogin()
  reader = await addClient(login)
})
afterEach(() => {
  login.polls.end()
  login.database.close()
})

const get = (path: string, headers = reader): Promise<Answer> => login.send('GET', path, { headers })
const begin = async (): Promise<string> => {
  const answer = await get('/changes/snapshot')
  expectAnswer(answer, { status: 200, headers: { 'cache-control': 'no-store' } })
  return Value.Parse(SnapshotPage, answer.json()).cursor
}
const read = (text: string): ChangesPage => Value.Parse(ChangesPage, JSON.parse(text))

describe('GET /changes', () => {
  test('tells what happened after a cursor, in the form that followers check', async () => {
    const cursor = await begin()
    const ann = await login.addUser('ann@example.com')
    const answer = await get(`/changes?after=${cursor}`)
    expectAnswer(answer, {
      status: 200,
      headers: { 'cache-control': 'no-store' },
      lacks: ['ann@example.com', 'nonce'],
    })
    const page = read(answer.text)
    expect(page.items).toMatchObject([{ subjectId: ann.id, state: { status: 'active', roles: ['user'] } }])
    const next = read((await get(`/changes?after=${page.nextCursor}`)).text)
    expect(next).toEqual({ generation: page.generation, items: [], nextCursor: page.nextCursor })
  })

  test('takes from 1 to 1,000 at a time, 500 when nothing is said', async () => {
    const cursor = await begin()
    login.database.run(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1001)
        INSERT INTO changes (nonce, type, at, subject_id) SELECT 'n' || i, 't', ${login.time.now}, 'usr_1' FROM n`,
    )
    for (const [query, size] of [
      ['', 500],
      ['&limit=1', 1],
      ['&limit=1000', 1_000],
    ] as const) {
      expect(read((await get(`/changes?after=${cursor}${query}`)).text).items).toHaveLength(size)
    }
  })

  const refused: [query: string, outcome: string][] = [
    ['', '422 invalid_request after'],
    ['?after=', '422 invalid_request after'],
    [`?after=${'a'.repeat(257)}`, '422 invalid_request after'],
    ['?after=x', '422 cursor_invalid after'],
    ['?after={cursor}A', '422 cursor_invalid after'],
    ['?after={cursor}&limit=0', '422 invalid_request limit'],
    ['?after={cursor}&limit=1001', '422 invalid_request limit'],
    ['?after={cursor}&limit=-1', '422 invalid_request limit'],
    ['?after={cursor}&limit=1.5', '422 invalid_request limit'],
    ['?after={cursor}&limit=ten', '422 invalid_request limit'],
    ['?after={cursor}&limit=1e99', '422 invalid_request limit'],
    ['?after={cursor}&wait=21', '422 invalid_request wait'],
    ['?after={cursor}&wait=-1', '422 invalid_request wait'],
    ['?after={cursor}&wait=0.5', '422 invalid_request wait'],
    ['?after={cursor}&wait=NaN', '422 invalid_request wait'],
    ['?after={cursor}&follower=', '422 invalid_request follower'],
    ['?after={cursor}&follower=a%20b', '422 invalid_request follower'],
    ['?after={cursor}&follower=a%0Ab', '422 invalid_request follower'],
    [`?after={cursor}&follower=${'a'.repeat(65)}`, '422 invalid_request follower'],
  ]
  test.each(refused)('refuses %s with %s', async (query, outcome) => {
    const cursor = await begin()
    expectAnswer(await get(`/changes${query.replace('{cursor}', cursor)}`), contractOf(outcome))
  })

  test('asks for a snapshot with 410 when the history is another one', async () => {
    const cursor = await begin()
    login.database.run("UPDATE feed SET generation = 'another'")
    expectAnswer(await get(`/changes?after=${cursor}&wait=20`), { status: 410, code: 'resync_required' })
  })
})

describe('GET /changes/snapshot and /changes/subjects/:id', () => {
  test('answer in the form that followers check', async () => {
    const ann = await login.addUser('ann@example.com')
    const answer = await get('/changes/snapshot')
    expectAnswer(answer, { status: 200, lacks: ['ann@example.com', '$argon2'] })
    const page = Value.Parse(SnapshotPage, answer.json())
    expect(page.items.map(({ id }) => id)).toEqual([ann.id, 'cli_reader'])
    expect(page.nextPage).toBeNull()
    const subject = Value.Parse(SubjectAnswer, (await get(`/changes/subjects/${ann.id}`)).json())
    expect(subject).toMatchObject({ id: ann.id, state: { status: 'active', roles: ['user'], scopes: [] } })
  })

  test.each([
    ['/changes/snapshot?page=', '422 invalid_request page'],
    ['/changes/snapshot?page=x', '422 cursor_invalid page'],
    [`/changes/snapshot?page=${'a'.repeat(257)}`, '422 invalid_request page'],
    ['/changes/subjects/a%2Fb', '422 invalid_request id'],
    ['/changes/subjects/a%20b', '422 invalid_request id'],
    [`/changes/subjects/${'a'.repeat(129)}`, '422 invalid_request id'],
  ])('%s is %s', async (path, outcome) => expectAnswer(await get(path), contractOf(outcome)))

  test('a cursor is no page', async () => {
    const cursor = await begin()
    expectAnswer(await get(`/changes/snapshot?page=${cursor}`), contractOf('422 cursor_invalid page'))
  })
})

describe('who may read the feed', () => {
  const paths = ['/changes?after=x', '/changes/snapshot', '/changes/subjects/usr_1']

  /** What the feed itself was asked, which is nothing where somebody is refused. */
  const watchFeed = (): string[] => {
    const asked: string[] = []
    const { feed } = login
    const { read: readFeed, snapshot, subject } = feed
    Object.assign(feed, {
      read: (after: string, limit: number) => {
        asked.push('read')
        return readFeed(after, limit)
      },
      snapshot: (page: string | undefined) => {
        asked.push('snapshot')
        return snapshot(page)
      },
      subject: (id: string) => {
        asked.push('subject')
        return subject(id)
      },
    })
    return asked
  }

  test('is a service account with changes:read in its token and in its registration, and nobody else', async () => {
    const people = await createPeople(login)
    const both = ['changes:read', 'documents:read']
    const callers: [outcome: string, headers: Record<string, string>][] = [
      ['400 credential_missing', {}],
      ['400 credential_unsupported', { 'x-api-key': 'lk_something' }],
      ['401 token_invalid', { authorization: 'Bearer nothing' }],
      ['403 insufficient_permission', people.callers.ann],
      ['403 insufficient_permission', people.callers.root],
      [
        '403 insufficient_permission',
        await addClient(login, { id: 'cli_other', scopes: ['documents:read', 'tokens:introspect'] }),
      ],
      [
        '403 insufficient_permission',
        await addClient(login, { id: 'cli_narrow', scopes: both, tokenScope: 'documents:read' }),
      ],
      [
        '403 insufficient_permission',
        await addClient(login, { id: 'cli_forged', scopes: ['documents:read'], tokenScope: 'changes:read' }),
      ],
      [
        '401 token_invalid',
        { authorization: `Bearer ${await clientToken(login, 'cli_nobody', 'changes:read')}` },
      ],
    ]
    const disabled = await addClient(login, { id: 'cli_disabled' })
    await login.clients.disable('cli_disabled', bySystem)
    const deleted = await addClient(login, { id: 'cli_deleted' })
    await login.clients.remove('cli_deleted', bySystem)
    const asked = watchFeed()
    for (const [outcome, headers] of [
      ...callers,
      ['401 token_invalid', disabled] as const,
      ['401 token_invalid', deleted] as const,
    ]) {
      for (const path of paths) expectAnswer(await get(path, headers), contractOf(outcome))
    }
    expect(asked).toEqual([])
    for (const path of paths) await get(path)
    expect(asked).toEqual(['read', 'snapshot', 'subject'])
  })

  test('is asked again when the waiting is over: who was disabled meanwhile hears no more', async () => {
    const cursor = await begin()
    const waiting = get(`/changes?after=${cursor}&wait=20`)
    await Bun.sleep(20)
    await login.clients.disable('cli_reader', bySystem)
    expectAnswer(await waiting, { status: 401, code: 'token_invalid', lacks: ['items'] })
  })

  test('nor does one that lost the scope', async () => {
    const cursor = await begin()
    const waiting = get(`/changes?after=${cursor}&wait=20`)
    await Bun.sleep(20)
    await login.clients.update('cli_reader', { scopes: ['documents:read'] }, bySystem)
    expectAnswer(await waiting, {
      status: 403,
      code: 'insufficient_permission',
      headers: { 'www-authenticate': /insufficient_scope/ },
    })
  })
})

describe('over a socket', () => {
  let served: Served
  beforeEach(() => {
    served = serve(login.app)
  })
  afterEach(() => served[Symbol.asyncDispose]())

  const poll = (cursor: string, query = '&wait=20', signal?: AbortSignal): Promise<Response> =>
    fetch(`${served.url}/changes?after=${cursor}${query}`, { headers: reader, signal: signal ?? null })

  const followers = async (headers: Record<string, string>) =>
    Object(await (await fetch(`${served.url}/changes/followers`, { headers })).json())

  /** Until somebody waits, or so many. */
  const untilWaiting = async (headers: Record<string, string>, count = 1): Promise<void> => {
    for (;;) {
      const { items } = await followers(headers)
      const waiting = items.filter((item: { isWaiting: boolean }) => item.isWaiting)
      if (waiting.length === count) return
      await Bun.sleep(2)
    }
  }

  test('whoever waits hears of a change at once', async () => {
    const people = await createPeople(login)
    const cursor = await begin()
    const waiting = poll(cursor, '&wait=20&follower=one')
    await untilWaiting(people.callers.root)
    await login.users.disable(people.ids.bob ?? '', bySystem)
    const page = read(await (await waiting).text())
    expect(page.items[0]).toMatchObject({ subjectId: people.ids.bob, state: { status: 'disabled' } })
  })

  test('50 who wait all hear the same, and then nobody waits', async () => {
    const people = await createPeople(login)
    const cursor = await begin()
    const waiting = Array.from({ length: 50 }, (_, index) => poll(cursor, `&wait=20&follower=f${index}`))
    await untilWaiting(people.callers.root, 50)
    await login.users.disable(people.ids.bob ?? '', bySystem)
    const answers = await Promise.all(waiting.map(async each => (await each).text()))
    expect(new Set(answers).size).toBe(1)
    await untilWaiting(people.callers.root, 0)
  })

  test('who hangs up waits no longer', async () => {
    const people = await createPeople(login)
    const cursor = await begin()
    const caller = new AbortController()
    const waiting = poll(cursor, '&wait=20&follower=gone', caller.signal).catch(() => 'hung up')
    await untilWaiting(people.callers.root)
    caller.abort()
    expect(await waiting).toBe('hung up')
    await untilWaiting(people.callers.root, 0)
  })

  test('at drain whoever waits is answered, and a request after it does not wait', async () => {
    const people = await createPeople(login)
    const cursor = await begin()
    const waiting = poll(cursor, '&wait=20&follower=one')
    await untilWaiting(people.callers.root)
    login.polls.end()
    expect(read(await (await waiting).text())).toMatchObject({ items: [], nextCursor: cursor })
    expect(read(await (await poll(cursor)).text()).items).toEqual([])
  })

  test('a reader that is slow gets all of its pages, and holds up nobody', async () => {
    const cursor = await begin()
    login.database.run(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
        INSERT INTO changes (nonce, type, at, subject_id) SELECT 'n' || i, 't', ${login.time.now}, 'usr_1' FROM n`,
    )
    // An answer that is not read.
    const stuck = await poll(cursor, '&limit=1000')
    const seen: number[] = []
    let after = cursor
    for (;;) {
      const { items, nextCursor } = read(await (await poll(after, '&limit=1000')).text())
      if (items.length === 0) break
      seen.push(...items.map(({ sequence }) => sequence))
      after = nextCursor
    }
    expect(seen).toEqual(Array.from({ length: 3_000 }, (_, index) => index + 2))
    expect(read(await stuck.text()).items).toHaveLength(1_000)
  })
})

describe('another process on the same file', () => {
  test('wakes whoever waits, too', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'changes-'))
    const path = join(folder, 'login.sqlite')
    const one = createTestLogin({ database: openLoginDatabase(path) })
    const other = createFeedSite({ database: openLoginDatabase(path), time: one.time })
    const headers = await addClient(one)
    const ann = await one.addUser('ann@example.com')
    const { cursor } = one.feed.snapshot(undefined)
    const waiting = one.send('GET', `/changes?after=${cursor}&wait=20`, { headers })
    await Bun.sleep(20)
    await other.users.disable(ann.id, bySystem)
    expect(read((await waiting).text).items).toMatchObject([{ subjectId: ann.id }])
    one.database.close()
    other.database.close()
    rmSync(folder, { recursive: true })
  })
})
