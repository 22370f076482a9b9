import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { call } from '../support/http.ts'
import { member } from '../support/json.ts'
import { logOf } from '../support/log-lines.ts'
import type { Role } from '../support/role.ts'
import { addPerson, makeKey, type Person, type Site, signIn, startSite } from '../support/site.ts'
import { until } from '../support/wait.ts'

/** AUT-11: both services behind a proxy on this machine, which is the test itself. */

let site: Site
let ann: Person
beforeAll(async () => {
  const settings = { TRUSTED_PROXIES: '127.0.0.1' }
  site = await startSite({ login: settings, service: settings })
  ann = await addPerson(site, (await signIn(site, site.admin)).accessToken, { name: 'ann' })
})
afterAll(() => site.stage.end())

const office = '203.0.113.9'
const elsewhere = '198.51.100.9'

/** What a proxy sends on for a client at an address, who forged the header before. */
const by = (client: string, forged = office): { headers: Record<string, string> } => ({
  headers: { 'x-forwarded-for': `${forged}, ${client}`, 'x-real-ip': forged, forwarded: `for=${forged}` },
})
const addressesOf = (role: Role): unknown[] =>
  logOf(role)
    .filter(entry => member(entry, 'msg') === 'request' && String(member(entry, 'address')) !== '127.0.0.1')
    .map(entry => member(entry, 'address'))

describe('behind a trusted proxy', () => {
  test('a key with allowed networks is let in for clients there, and for nobody else', async () => {
    const { id, key } = await makeKey(site, ann.accessToken, {
      allowedNetworks: [`${office}/32`, '2001:db8::/32'],
    })
    const documents = `${site.service.url}/documents`
    const own = `${documents}/${id}`
    for (const [client, expected] of [
      [office, 200],
      [elsewhere, 403],
      ['2001:db8::7', 200],
      ['::1', 403],
    ] as const) {
      const { status, body } = await call(documents, { key, ...by(client) })
      expect({ client, status }).toEqual({ client, status: expected })
      if (status === 403) expect(member(body, 'code')).toBe('api_key_network_not_allowed')
    }
    expect((await call(own, { method: 'PUT', key, json: { a: 1 }, ...by(elsewhere) })).status).toBe(403)
    expect((await call(own, { key, ...by(office) })).status).toBe(404)
    const { body } = await call(`${site.service.url}/api-keys/${id}/usage`, { token: ann.accessToken })
    expect(member(member(member(body, 'total'), 'refused'), 'api_key_network_not_allowed')).toBe(3)
  })

  test.each(['login', 'service'] as const)('%s logs the client, and never what it forged', async name => {
    const role = site[name]
    const before = addressesOf(role).length
    await call(`${role.url}/livez`, by(elsewhere, '192.0.2.1'))
    await call(`${role.url}/nowhere`, by('2001:DB8::9', '192.0.2.1'))
    const told = (): unknown[] => addressesOf(role).slice(before)
    await until('two lines in the log', () => told().length === 2)
    expect(told()).toEqual([elsewhere, '2001:db8::9'])
  })
})

test('proxies that can not be trusted stop the start, by name', async () => {
  const program = site.stage.run({
    folder: site.stage.makeFolder('everybody'),
    env: { ROLE: 'service-a', PORT: '0', TRUSTED_PROXIES: '127.0.0.1, 0.0.0.0/0' },
  })
  expect((await program.ended).code).not.toBe(0)
  expect(program.stderr()).toContain(
    'TRUSTED_PROXIES is not valid: number 2 of the list must not be everybody',
  )
})
