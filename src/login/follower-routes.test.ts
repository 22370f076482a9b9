import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import { contractOf, expectAnswer } from '../lib/test-http.ts'
import { createFollowers } from './follower-registry.ts'
import { addClient } from './test-feed.ts'
import { createPeople, createTestLogin, createTime, startOfTest, type TestLogin } from './test-login.ts'

describe('who follows', () => {
  const poll = { name: 'one', clientId: 'cli_a', generation: 'g', sequence: 1 }

  test('is told apart by client and name, with where it is by what it said last; the last heard comes first', () => {
    const time = createTime()
    const followers = createFollowers({ clock: time.clock })
    followers.note(poll)
    followers.note({ ...poll, clientId: 'cli_b' })
    followers.note({ ...poll, name: null })
    time.now += 5
    followers.note({ ...poll, sequence: 9 })
    expect(followers.list()).toEqual([
      { ...poll, sequence: 9, lastPolledAt: startOfTest + 5, isWaiting: true },
      { ...poll, name: null, lastPolledAt: startOfTest, isWaiting: true },
      { ...poll, clientId: 'cli_b', lastPolledAt: startOfTest, isWaiting: true },
    ])
  })

  test('waits as long as one of its polls does', () => {
    const followers = createFollowers({ clock: () => 0 })
    const [first, second] = [followers.note(poll), followers.note(poll)]
    const isWaiting = () => followers.list()[0]?.isWaiting
    first()
    first()
    expect(isWaiting()).toBe(true)
    second()
    expect(isWaiting()).toBe(false)
  })

  test('is bounded, whatever names somebody thinks of: who was not heard for longest is forgotten', () => {
    const followers = createFollowers({ clock: () => 0, limit: 3 })
    for (const name of ['a', 'b', 'c']) followers.note({ ...poll, name })
    followers.note({ ...poll, name: 'a' })
    followers.note({ ...poll, name: 'd' })
    expect(followers.list().map(({ name }) => name)).toEqual(['d', 'a', 'c'])
  })
})

describe('GET /changes/followers', () => {
  let login: TestLogin
  let people: Awaited<ReturnType<typeof createPeople>>
  let reader: Record<string, string>
  beforeEach(async () => {
    login = createTestLogin()
    people = await createPeople(login)
    reader = await addClient(login)
  })
  afterEach(() => login.database.close())

  const read = (after: string, follower: string) =>
    login.send('GET', `/changes?after=${after}&follower=${follower}`, { headers: reader })

  test('says who has heard what: a poll acknowledges what came before its cursor, not what it is answered', async () => {
    const { cursor, sequence } = login.feed.snapshot(undefined)
    await login.users.disable(people.ids.bob ?? '', bySystem)
    const latestSequence = login.feed.latest().sequence
    await read(cursor, 'late')
    await read(login.feed.snapshot(undefined).cursor, 'early')
    const answer = await people.send('root GET /changes/followers')
    expectAnswer(answer, { status: 200 })
    const common = {
      clientId: 'cli_reader',
      lastPolledAt: new Date(startOfTest).toISOString(),
      isWaiting: false,
    }
    expect(answer.json()).toEqual({
      latestSequence,
      items: [
        { ...common, follower: 'early', sequence: latestSequence, behind: 0 },
        { ...common, follower: 'late', sequence, behind: latestSequence - sequence },
      ],
    })
  })

  test('knows no place of one that has to take a new snapshot', async () => {
    await read(login.feed.snapshot(undefined).cursor, 'one')
    login.database.run("UPDATE feed SET generation = 'another'")
    const answer = await people.send('root GET /changes/followers')
    expect(answer.json()).toMatchObject({ items: [{ follower: 'one', sequence: null, behind: null }] })
  })

  test('a cursor that is not good says nothing about anybody', async () => {
    await read('forged', 'one')
    expect((await people.send('root GET /changes/followers')).json()).toMatchObject({ items: [] })
  })

  test('is for administrators', async () => {
    expectAnswer(await people.send('ann GET /changes/followers'), contractOf('403 insufficient_permission'))
    expectAnswer(
      await login.send('GET', '/changes/followers', { headers: reader }),
      contractOf('403 insufficient_permission'),
    )
    expectAnswer(await login.send('GET', '/changes/followers'), contractOf('400 credential_missing'))
  })
})
