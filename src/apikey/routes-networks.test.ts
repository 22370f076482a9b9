import { beforeEach, describe, expect, test } from 'bun:test'
import { createHost, type Host, members, text } from './test-host.ts'

let host: Host
beforeEach(() => {
  host = createHost()
})

const make = (allowedNetworks?: unknown) =>
  host.by('ann', 'POST', '/api-keys', { body: { name: 'ci', permissions: ['notes:read'], allowedNetworks } })
const patch = (id: string, body: object) => host.by('ann', 'PATCH', `/api-keys/${id}`, { body })
const read = async (id: string) => members(await host.by('ann', 'GET', `/api-keys/${id}`)).allowedNetworks

describe('allowed networks of a key', () => {
  test('are given back as they are stored: spelled one way, and each once', async () => {
    const given = ['192.0.2.7', '::FFFF:192.0.2.7', '2001:DB8::/32', '10.0.0.0/8']
    const made = await make(given)
    const stored = ['192.0.2.7/32', '2001:db8::/32', '10.0.0.0/8']
    expect(members(made).allowedNetworks).toEqual(stored)
    expect(await read(text(made, 'id'))).toEqual(stored)
  })

  test('are none unless somebody names them; absent keeps, null clears, a value sets', async () => {
    const id = text(await make(), 'id')
    expect(await read(id)).toBeNull()
    expect(members(await patch(id, { allowedNetworks: ['::1'] })).allowedNetworks).toEqual(['::1/128'])
    expect(members(await patch(id, { name: 'other' })).allowedNetworks).toEqual(['::1/128'])
    expect(members(await patch(id, { allowedNetworks: null })).allowedNetworks).toBeNull()
    expect(text(await make(null), 'id')).toStartWith('key_')
  })

  test.each<[string, unknown, string[]]>([
    ['a name', ['office.example'], ['allowedNetworks/0']],
    ['bits beyond the prefix', ['10.0.0.0/8', '10.0.0.1/8'], ['allowedNetworks/1']],
    ['a prefix that is too long', ['10.0.0.0/33', '::/129'], ['allowedNetworks/0', 'allowedNetworks/1']],
    ['an address with a zone', ['fe80::1%eth0'], ['allowedNetworks/0']],
    ['too many', Array(21).fill('10.0.0.0/8'), ['allowedNetworks']],
    ['no network at all', [], ['allowedNetworks']],
    ['a text that is too long', [`10.0.0.0/8${' '.repeat(60)}`], ['allowedNetworks/0']],
    ['something else', '10.0.0.0/8', ['allowedNetworks']],
    ['a number', [10], ['allowedNetworks/0']],
  ])('can not be %s, which is named without its value', async (_, given, fields) => {
    const id = text(await make(['::1']), 'id')
    for (const answer of [await make(given), await patch(id, { allowedNetworks: given })]) {
      expect(answer.status).toBe(422)
      const { code, errors } = members(answer)
      expect(code).toBe('invalid_request')
      const named = Array.isArray(errors) ? errors.map((error: { field: string }) => error.field) : []
      expect([...new Set(named)]).toEqual(fields)
      expect(answer.text).not.toContain('office')
    }
    expect(await read(id)).toEqual(['::1/128'])
  })

  test('are inherited by what replaces the key', async () => {
    const id = text(await make(['10.0.0.0/8']), 'id')
    const next = await host.by('ann', 'POST', `/api-keys/${id}/rotate`, { body: {} })
    expect(members(next).allowedNetworks).toEqual(['10.0.0.0/8'])
    expect((await host.with(text(next, 'key'), 'GET', '/notes')).json()).toMatchObject({
      code: 'api_key_network_not_allowed',
    })
    expect(host.ran).toEqual([])
  })

  test('a refusal by them is counted, and told with the use of the key', async () => {
    const made = await make(['10.0.0.0/8'])
    await host.with(text(made, 'key'), 'GET', '/notes')
    const usage = await host.by('ann', 'GET', `/api-keys/${text(made, 'id')}/usage?days=1`)
    expect(members(usage).total).toEqual({ accepted: 0, refused: { api_key_network_not_allowed: 1 } })
  })
})
