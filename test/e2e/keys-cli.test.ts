/** `latchkey keys …` beside a service that runs: what the one does holds in the other. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { now } from '../revocation/clock.ts'
import { listOf, member, parseJson, textOf } from '../support/json.ts'
import { type LinkedSite, startLinkedSite } from '../support/linked-site.ts'
import { expectProblem } from '../support/problem.ts'
import { addPerson, type Key, makeKey, type Person } from '../support/site.ts'
import { readValue } from '../support/sqlite-file.ts'

/** The promise: from the end of the command to its effect in the service. */
const boundMs = 100

let site: LinkedSite
let ann: Person
let eve: Person
let folder: string

beforeAll(async () => {
  site = await startLinkedSite()
  ann = await addPerson(site, site.root.accessToken, { name: 'ann' })
  eve = await addPerson(site, site.root.accessToken, { name: 'eve' })
  await site.caughtUp()
  folder = site.stage.makeFolder('elsewhere')
})
afterAll(() => site.end())

/** Runs a verb to its end, in a folder that has nothing to do with the service. */
const keys = async (args: readonly string[], input?: string) => {
  const program = site.stage.run({
    args: ['keys', ...args],
    env: { DATABASE_PATH: site.serviceFile },
    folder,
    ...(input === undefined ? {} : { input }),
  })
  const { code } = await program.ended
  return { code, lines: program.lines, stderr: program.stderr() }
}

const made: Key[] = []
const keyIn = ([line = '']: readonly string[]): Key => {
  const printed = parseJson(line)
  const key = { id: textOf(printed, 'id'), key: textOf(printed, 'key') }
  made.push(key)
  return key
}

const create = async (...args: string[]): Promise<Key> => {
  const all = ['create', '--name', 'cli', '--owner', ann.id, '--json', ...args]
  const { code, lines, stderr } = await keys(all)
  expect({ code, isOne: lines.length, stderr: stderr.replace(/key_\w+/, 'key') }).toEqual({
    code: 0,
    isOne: 1,
    stderr: `key for ${ann.id}\n`,
  })
  return keyIn(lines)
}

const use = ({ key }: Key) => site.use('/documents?limit=1', { key })

describe('latchkey keys', () => {
  test('makes keys that the running service takes at once, and that may do no more than their owner', async () => {
    const key = await create('--permission', '*:*', '--expires-in', '1h')
    expect((await use(key)).status).toBe(200)
    // What an administrator may do, and ann may not.
    const whoami = await site.use('/whoami', { key: key.key })
    expect(member(whoami.body, 'ownerId')).toBe(ann.id)
    expect(listOf(whoami.body, 'permissions')).not.toContain('*:*')
    const listed = await site.use('/api-keys', { token: ann.accessToken })
    expect(listOf(listed.body, 'items').map(item => member(item, 'id'))).toContain(key.id)
    expect((await keys(['create', '--name', 'x', '--owner', 'usr_nobody'])).code).toBe(1)
  })

  test(`a revocation is honoured by the service within ${boundMs} ms`, async () => {
    for (let round = 0; round < 5; round += 1) {
      const key = await create('--permission', 'documents:read')
      // So that it is taken from memory.
      for (let uses = 0; uses < 3; uses += 1) expect((await use(key)).status).toBe(200)
      let isOver = false
      const accepted: number[] = []
      const watch = async (): Promise<void> => {
        while (!isOver) {
          const sentAt = now()
          const answer = await use(key)
          if (answer.status === 200) accepted.push(sentAt)
          else expectProblem(answer, 403, 'api_key_revoked')
        }
      }
      const watching = watch()
      const { code } = await (round % 2 === 0
        ? keys(['revoke', key.id])
        : keys(['revoke', '--stdin'], `${key.key}\n`))
      const endedAt = now()
      expect(code).toBe(0)
      await Bun.sleep(boundMs + 50)
      isOver = true
      await watching
      expect(accepted.length).toBeGreaterThan(0)
      expect(accepted.filter(sentAt => sentAt > endedAt + boundMs)).toEqual([])
      expectProblem(await use(key), 403, 'api_key_revoked')
    }
  }, 30_000)

  test('list, show, rotate and transfer go by what HTTP did, and HTTP by what they did', async () => {
    const old = await makeKey(site, ann.accessToken, { permissions: ['documents:read'] })
    expect((await keys(['list', '--owner', ann.id])).lines.join('\n')).toContain(`${old.id}\tactive\t`)
    const { code, lines } = await keys(['rotate', old.id, '--grace-seconds', '0', '--json'])
    expect(code).toBe(0)
    const next = keyIn(lines)
    expect((await use(next)).status).toBe(200)
    await Bun.sleep(boundMs)
    expectProblem(await use(old), 403, 'api_key_expired')
    expect((await keys(['transfer', '--from', ann.id, '--to', eve.id, next.id])).code).toBe(0)
    expect((await site.use(`/api-keys/${next.id}`, { token: eve.accessToken })).status).toBe(200)
    expect((await site.use(`/api-keys/${next.id}`, { token: ann.accessToken })).status).toBe(404)
    const shown = await keys(['show', next.id, '--json'])
    expect(parseJson(shown.lines[0] ?? '')).toMatchObject({ ownerId: eve.id, rotatedFrom: old.id })
    const explained = await keys(['explain', '--permission', 'documents:read'], next.key)
    expect(explained.code).toBe(0)
  })

  test(`limits and credits that it sets are honoured by the service within ${boundMs} ms`, async () => {
    const key = await create('--permission', 'documents:*', '--credits', '5')
    const put = () =>
      site.use('/documents/metered', {
        method: 'PUT',
        key: key.key,
        json: { content: 'x' },
      })
    // So that it is taken from memory.
    for (let uses = 0; uses < 3; uses += 1) expect((await use(key)).status).toBe(200)
    expect((await put()).headers.get('x-credits-remaining')).toBe('4')

    const taken = await keys(['credits', key.id, '--subtract', '100', '--json'])
    expect({ code: taken.code, balance: member(parseJson(taken.lines[0] ?? ''), 'remaining') }).toEqual({
      code: 0,
      balance: 0,
    })
    expectProblem(await put(), 429, 'credits_exhausted')
    expect((await use(key)).status).toBe(200)

    expect((await keys(['change', key.id, '--no-credits', '--limit', 'hour=7/1h'])).code).toBe(0)
    await Bun.sleep(boundMs)
    // The five that were let in a moment ago count as well.
    const answers = [await put(), await use(key), await use(key)]
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429])
    expect(answers[2]?.headers.get('ratelimit-policy')).toBe('"hour";q=7;w=3600')

    const trail = await keys(['audit', key.id, '--json'])
    expect(trail.lines.map(line => textOf(parseJson(line), 'action'))).toEqual([
      'api_key.changed',
      'api_key.credits_changed',
      'api_key.credits_changed',
      'api_key.created',
    ])
  })

  test('what is done is in the audit trail, by nobody that is known', async () => {
    const key = await create()
    await keys(['revoke', key.id])
    const row = readValue(
      site.serviceFile,
      `SELECT json_group_array(json_array(action, actor_id, address)) FROM api_key_audit WHERE subject_id = ?`,
      key.id,
    )
    expect(parseJson(String(row))).toEqual([
      ['api_key.created', null, null],
      ['api_key.revoked', null, null],
    ])
  })

  test('finds a key in the history of a repository, and revokes it', async () => {
    const key = await create('--permission', 'documents:read')
    const repository = join(folder, 'repository')
    mkdirSync(repository)
    const git = (...args: string[]): string =>
      execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], {
        cwd: repository,
        encoding: 'utf8',
        env: { PATH: process.env.PATH ?? '', HOME: folder },
      })
    git('init', '--quiet')
    for (const [content, message] of [
      [`KEY=${key.key}\n`, 'add'],
      ['KEY=\n', 'take it away'],
    ] as const) {
      writeFileSync(join(repository, '.env'), content)
      git('add', '.env')
      git('commit', '--quiet', '-m', message)
    }
    // Its objects are compressed: only its history as text has the key.
    expect((await keys(['scan', repository])).code).toBe(0)
    const found = await keys(['scan', '-', '--revoke'], git('log', '-p'))
    expect(found.code).toBe(1)
    expect(found.lines.map(line => line.split('  ').slice(1))).toEqual([
      [key.id, 'revoked now'],
      [key.id, 'revoked'],
    ])
    await Bun.sleep(boundMs)
    expectProblem(await use(key), 403, 'api_key_revoked')
  })

  test('scans what is larger than its memory would hold', async () => {
    const path = join(folder, 'large.log')
    const piece = `${'x'.repeat(1023)}_`.repeat(1024)
    const writer = Bun.file(path).writer()
    for (let megabyte = 0; megabyte < 300; megabyte += 1) writer.write(piece)
    await writer.end()
    const program = site.stage.run({ args: ['keys', 'scan', path, '--no-database'], folder })
    let most = 0
    const measure = setInterval(async () => {
      const status = await Bun.file(`/proc/${program.pid}/status`)
        .text()
        .catch(() => '')
      most = Math.max(most, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0))
    }, 10)
    const { code } = await program.ended
    clearInterval(measure)
    expect(code).toBe(0)
    if (process.platform === 'linux') expect(most).toBeGreaterThan(0)
    // KiB.
    expect(most).toBeLessThan(200_000)
  }, 30_000)

  test('a reader that has enough ends it, in words and without a stack', async () => {
    const key = await create()
    const path = join(folder, 'many.log')
    writeFileSync(path, `${key.key}\n`.repeat(20_000))
    const program = site.stage.run({ args: ['keys', 'scan', path, '--no-database'], folder })
    await program.waitForLine(line => line.endsWith(key.id))
    await program.closeOutput()
    expect((await program.ended).code).toBe(2)
    expect(program.stderr()).toBe('What was asked for could not be written.\n')
  })
})

test('the service wrote no key into its log', () => {
  const { lines, stderr } = site.service.program()
  const log = `${lines.join('\n')}${stderr()}`
  expect(made.length).toBeGreaterThan(5)
  expect(made.filter(({ key }) => log.includes(key.slice(-49)))).toEqual([])
})
