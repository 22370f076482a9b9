import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import { type KeysCli, openKeysCli } from './test-keys-cli.ts'
import { newKey, newMaterial } from './test-store.ts'
import { formatKey, generateKey } from './token.ts'

let cli: KeysCli
beforeEach(() => {
  cli = openKeysCli()
})
afterEach(() => cli.close())

const key = formatKey(generateKey('lk'))
const terms = {
  metadata: { team: 'core', left: `here: ${key}` },
  allowedNetworks: ['192.0.2.0/24', '::1/128'],
  limits: [
    { name: 'minute', limit: 100, windowSeconds: 60 },
    { name: 'odd', limit: 5, windowSeconds: 90 },
  ],
  credits: { remaining: 250, refill: { amount: 1_000, interval: 'monthly', dayOfMonth: 31 } },
} as const

const insert = () =>
  cli.store.insert(
    newKey('usr_ann', {
      ...terms,
      allowedNetworks: [...terms.allowedNetworks],
      limits: [...terms.limits],
    }),
    10,
    bySystem,
  )

describe.each(['show', 'explain'])('latchkey keys %s', verb => {
  test('tells limits, credits, networks, metadata and lineage, and no key that stands in them', async () => {
    const { id } = await insert()
    const next = await cli.store.rotate(id, 'all', newMaterial(), Date.now() + 60_000, bySystem)
    expect(await cli.keys(verb, next.id)).toBe(0)
    const told = cli.terminal.output().replaceAll('\t', ': ')
    expect(told).toContain('limits: minute=100/1m odd=5/90s\n')
    expect(told).toMatch(/credits: 250, 1000 monthly@31, next \d{4}-\d\d-\d\dT00:00:00.000Z\n/)
    expect(told).toMatch(/(allowedNetworks|allowed networks): 192.0.2.0\/24 ::1\/128\n/)
    expect(told).toContain('metadata: {"team":"core"')
    expect(told).toContain(`: ${id} > [${next.id}]\n`)
    expect(told).not.toContain(key.slice(-65))
    expect(told).toContain('here: lk_…')
  })

  test('tells programs the same', async () => {
    const { id } = await insert()
    expect(await cli.keys(verb, id, '--json')).toBe(0)
    const told = JSON.parse(cli.terminal.output())
    const { limits, metadata, allowedNetworks } = terms
    const { remaining, refill } = terms.credits
    expect(told).toMatchObject({ limits, metadata, allowedNetworks, credits: { remaining, refill } })
    expect(told.credits.nextRefillAt).toMatch(/T00:00:00.000Z$/)
    expect(told.lineage).toHaveLength(1)
  })

  test('says so of a key that has none of it', async () => {
    const { id } = await cli.store.insert(newKey('usr_ann'), 10, bySystem)
    expect(await cli.keys(verb, id)).toBe(0)
    const told = cli.terminal.output().replaceAll('\t', ': ')
    for (const part of ['limits: those of the service\n', 'credits: unmetered\n', ': anywhere\n']) {
      expect(told).toContain(part)
    }
  })
})

describe('latchkey keys explain', () => {
  const explain = async (...args: string[]): Promise<{ code: number; line: string }> => {
    const code = await cli.keys('explain', ...args)
    const line =
      cli.terminal
        .output()
        .split('\n')
        .find(found => found.startsWith('  credits')) ?? ''
    return { code, line: line.trim().replaceAll(/ {2,}/g, ' ') }
  }

  test('judges credits by the balance now, for a cost that is named', async () => {
    const { id } = await insert()
    expect(await explain(id)).toEqual({
      code: 0,
      line: 'credits not checked 250 left; no cost was given to judge',
    })
    expect(await explain(id, '--cost', '250')).toEqual({ code: 0, line: 'credits passed 250 of 250' })
    const refused = await explain(id, '--cost', '251')
    expect(refused.code).toBe(1)
    expect(refused.line).toMatch(/^credits failed needs 251, and there are 250, the next refill is at \d{4}-/)
    expect(cli.terminal.output()).toContain('refused with 429 credits_exhausted')
    await cli.store.changeCredits(id, 'all', { set: 0 }, bySystem)
    expect((await explain(id, '--cost', '0')).code).toBe(0)
    expect((await explain(id, '--cost', '1')).code).toBe(1)
  })

  test('lets a key without credits pay anything', async () => {
    const { id } = await cli.store.insert(newKey('usr_ann'), 10, bySystem)
    expect(await explain(id, '--cost', '1000')).toEqual({ code: 0, line: 'credits passed unmetered' })
  })

  test('says of limits that it does not know what they have counted', async () => {
    const { id } = await insert()
    await explain(id)
    expect(cli.terminal.output()).toMatch(
      /limits +not checked +counted in the memory of the service: not judged here/,
    )
    await cli.store.update(id, 'all', { limits: [] }, bySystem)
    await explain(id)
    expect(cli.terminal.output()).toMatch(/limits +passed +none/)
  })

  test.each(['-1', '1.5', 'x'])('takes no cost of %s', async cost => {
    const { id } = await insert()
    expect((await explain(id, `--cost=${cost}`)).code).toBe(2)
    expect(cli.terminal.errors()).toStartWith('--cost takes a number of credits')
  })
})
