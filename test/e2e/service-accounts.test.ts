import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Answer } from '../support/http.ts'
import { listOf, member, parseJson, textOf } from '../support/json.ts'
import { type LinkedSite, startLinkedSite } from '../support/linked-site.ts'
import { logOf } from '../support/log-lines.ts'
import { askForToken, type Client, clientToken } from '../support/oauth.ts'
import { expectProblem } from '../support/problem.ts'
import { command } from '../support/program.ts'
import { type Key, keyOf, makeKey, signIn } from '../support/site.ts'

/** Machines that sign in: made by an administrator or on the command line, and followed like people. */

let site: LinkedSite

const make = async (name: string, scopes: readonly string[]): Promise<Client> => {
  const { status, body } = await site.manage('/clients', { json: { name, scopes } })
  expect(status).toBe(201)
  const client = { id: textOf(body, 'id'), secret: textOf(body, 'secret') }
  site.stage.keepSecret(client.secret)
  return client
}

const ownKey = async (token: string, permissions: readonly string[]): Promise<Key> =>
  keyOf(site, await site.use('/api-keys', { token, json: { name: 'own', permissions } }))

const expectRefusedToken = ({ status, body }: Answer): void =>
  expect([status, member(body, 'error')]).toEqual([401, 'invalid_client'])

beforeAll(async () => {
  site = await startLinkedSite()
})
afterAll(() => site.end())

describe('a service account', () => {
  let client: Client
  let token: string
  let key: Key

  test('gets a token by its secret, and uses service-a as far as its scopes go', async () => {
    client = await make('reporter', ['documents:read', 'documents:write', 'reports:read'])
    token = await clientToken(site.login.url, client)
    const whoami = await site.use('/whoami', { token })
    expect([whoami.status, whoami.body]).toMatchObject([
      200,
      { kind: 'service', ownerId: client.id, clientId: client.id, roles: [] },
    ])
    expect((await site.use('/documents/report', { token, method: 'PUT', json: { a: 1 } })).status).toBe(201)
    expect((await site.use('/documents/report', { token })).body).toEqual({ a: 1 })

    const narrow = await clientToken(site.login.url, client, {
      audience: 'service-a',
      scope: 'documents:read',
    })
    expect((await site.use('/documents/report', { token: narrow })).status).toBe(200)
    const refused = await site.use('/documents/report', { token: narrow, method: 'PUT', json: 2 })
    expectProblem(refused, 403, 'insufficient_permission')
    expect(refused.headers.get('www-authenticate')).toBe(
      'Bearer error="insufficient_scope", scope="documents:write"',
    )
    expect((await site.use('/documents/report', { token })).body).toEqual({ a: 1 })
  })

  test('gets none for more than it has, for another audience, or by another secret', async () => {
    const ask = (fields: Record<string, string>) => askForToken(site.login.url, client, fields)
    const more = await ask({ audience: 'service-a', scope: 'documents:read api-keys:manage' })
    expect([more.status, member(more.body, 'error')]).toEqual([400, 'invalid_scope'])
    const elsewhere = await ask({ audience: 'service-z' })
    expect([elsewhere.status, member(elsewhere.body, 'error')]).toEqual([400, 'invalid_target'])
    expectRefusedToken(await askForToken(site.login.url, { ...client, secret: `lcs_${'A'.repeat(43)}` }))
    expectRefusedToken(await askForToken(site.login.url, { ...client, id: 'cli_nobody' }))
  })

  test('whose token was not asked for service-a is not let in there', async () => {
    const plain = await clientToken(site.login.url, client, {})
    expectProblem(await site.use('/whoami', { token: plain }), 401, 'token_invalid')
  })

  test('has no right over users, whatever its scopes are called', async () => {
    const bold = await make('bold', ['users:manage', 'clients:manage', 'documents:read'])
    const boldToken = await clientToken(site.login.url, bold)
    for (const path of ['/users', '/clients', '/users/me', '/changes/followers']) {
      expectProblem(await site.manage(path, { token: boldToken }), 403, 'insufficient_permission')
    }
    expect((await site.manage('/changes/snapshot', { token: boldToken })).status).toBe(403)
  })

  test('owns keys: one that it made itself, and one that an administrator made for it', async () => {
    key = await ownKey(token, ['documents:read'])
    const given = await makeKey(site, site.root.accessToken, { ownerId: client.id })
    for (const { key: text } of [key, given]) {
      expect((await site.use('/documents/report', { key: text })).body).toEqual({ a: 1 })
    }
    const { body } = await site.use('/api-keys', { token })
    expect(listOf(body, 'items')).toMatchObject([
      { id: key.id, ownerId: client.id, createdBy: client.id },
      { id: given.id, ownerId: client.id },
    ])
    const [, second] = listOf(body, 'items')
    expect(textOf(second, 'createdBy')).toMatch(/^usr_/)
  })

  test('may not make a key that does more than itself', async () => {
    const refused = await site.use('/api-keys', {
      token,
      json: { name: 'x', permissions: ['api-keys:manage'] },
    })
    expectProblem(refused, 422, 'permission_not_grantable')
  })

  test('with a new secret keeps the one before for as long as was said, and no longer', async () => {
    const rotated = await site.manage(`/clients/${client.id}/rotate`, { json: { graceSeconds: 600 } })
    expect(rotated.status).toBe(201)
    const next = { ...client, secret: textOf(rotated.body, 'secret') }
    site.stage.keepSecret(next.secret)
    expect((await askForToken(site.login.url, next)).status).toBe(200)
    expect((await askForToken(site.login.url, client)).status).toBe(200)
    expect((await site.use('/whoami', { token })).status).toBe(200)

    const last = await site.manage(`/clients/${client.id}/rotate`, { json: { graceSeconds: 0 } })
    const newest = { ...client, secret: textOf(last.body, 'secret') }
    site.stage.keepSecret(newest.secret)
    expect((await askForToken(site.login.url, newest)).status).toBe(200)
    expectRefusedToken(await askForToken(site.login.url, next))
    expectRefusedToken(await askForToken(site.login.url, client))
    // Without grace the tokens end that somebody may have got by it; keys have nothing to do with the secret.
    await site.caughtUp()
    expectProblem(await site.use('/whoami', { token }), 401, 'token_invalid')
    expect((await site.use('/documents/report', { key: key.key })).status).toBe(200)
    client = newest
    token = await clientToken(site.login.url, client)
    expect((await site.use('/whoami', { token })).status).toBe(200)
  })

  test('with fewer scopes can do less at once, by tokens and keys that it has', async () => {
    await site.manage(`/clients/${client.id}`, { method: 'PATCH', json: { scopes: ['reports:read'] } })
    await site.caughtUp()
    expectProblem(await site.use('/documents', { token }), 403, 'insufficient_permission')
    expectProblem(await site.use('/documents', { key: key.key }), 403, 'insufficient_permission')
    await site.manage(`/clients/${client.id}`, { method: 'PATCH', json: { scopes: ['documents:read'] } })
    await site.caughtUp()
    expect((await site.use('/documents', { token })).status).toBe(200)
    expect((await site.use('/documents', { key: key.key })).status).toBe(200)
    expect((await site.use('/documents/report', { token, method: 'PUT', json: 3 })).status).toBe(403)
  })

  test('that is disabled is out with all it has within the bound, and back with its keys and new tokens when it is enabled', async () => {
    await site.manage(`/clients/${client.id}/disable`, { method: 'POST' })
    const acknowledged = performance.now()
    await site.caughtUp()
    expectProblem(await site.use('/documents', { token }), 401, 'token_invalid')
    expectProblem(await site.use('/documents', { key: key.key }), 403, 'api_key_owner_inactive')
    expect(performance.now() - acknowledged).toBeLessThan(1_500)
    expectRefusedToken(await askForToken(site.login.url, client))

    await site.manage(`/clients/${client.id}/enable`, { method: 'POST' })
    await site.caughtUp()
    expectProblem(await site.use('/documents', { token }), 401, 'token_invalid')
    token = await clientToken(site.login.url, client)
    expect((await site.use('/documents', { token })).status).toBe(200)
    expect((await site.use('/documents', { key: key.key })).status).toBe(200)
  })

  test('that is deleted is out for good, its keys revoked', async () => {
    expect((await site.manage(`/clients/${client.id}`, { method: 'DELETE' })).status).toBe(204)
    await site.caughtUp()
    expectProblem(await site.use('/documents', { token }), 401, 'token_invalid')
    expectProblem(await site.use('/documents', { key: key.key }), 403, 'api_key_revoked')
    expectRefusedToken(await askForToken(site.login.url, client))
    expect((await site.manage(`/clients/${client.id}`)).status).toBe(404)
  })

  test('keeps the keys of an engineer who leaves in use, once they are its own', async () => {
    const heir = await make('heir', ['documents:read', 'documents:write'])
    const made = await site.manage('/users', {
      json: { email: 'leaver@example.com', password: 'a password of some length' },
    })
    const from = textOf(made.body, 'id')
    const leaver = await signIn(site, { email: 'leaver@example.com', password: 'a password of some length' })
    const theirs = await makeKey(site, leaver.accessToken)
    const moved = await site.use('/api-keys/transfer', {
      token: site.root.accessToken,
      json: { from, to: heir.id },
    })
    expect([moved.status, listOf(moved.body, 'items')]).toMatchObject([
      200,
      [{ id: theirs.id, ownerId: heir.id }],
    ])
    await site.manage(`/users/${from}`, { method: 'DELETE' })
    await site.caughtUp()
    expect((await site.use('/documents', { key: theirs.key })).status).toBe(200)
    expectProblem(await site.use('/documents', { token: leaver.accessToken }), 401, 'token_invalid')
  })
})

describe('CLIENT_ID and CLIENT_SECRET of login', () => {
  test('registered the service account by which service-a follows, with the least that it needs', async () => {
    const { status, body } = await site.manage('/clients/cli_service-a')
    expect([status, body]).toMatchObject([200, { status: 'active', createdBy: null }])
    expect(listOf(body, 'scopes').sort()).toEqual(['changes:read', 'tokens:introspect'])
    expect(logOf(site.login).map(entry => member(entry, 'clientId'))).toContain('cli_service-a')
  })

  test('change nothing at the next start', async () => {
    const before = await site.manage('/clients/cli_service-a')
    await site.login.stop()
    await site.login.restart()
    expect((await site.manage('/clients/cli_service-a')).body).toEqual(before.body)
    await site.caughtUp()
  })
})

describe('the command line', () => {
  /** Runs a command beside the running services. */
  const run = async (args: readonly string[], databasePath: string, input = '') => {
    const child = Bun.spawn([...command(), ...args], {
      cwd: site.stage.makeFolder('command'),
      env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', DATABASE_PATH: databasePath },
      stdin: Buffer.from(input),
      stdout: 'pipe',
      stderr: 'pipe',
    })
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ])
    return { code, stdout, stderr }
  }
  const clients = (...args: string[]) => run(['clients', ...args, '--json'], site.loginFile)

  test('makes a service account, which a running login and service-a know at once', async () => {
    const made = await clients(
      'create',
      '--name',
      'by hand',
      '--scope',
      'documents:read',
      '--id',
      'cli_by-hand',
    )
    expect([made.code, made.stderr]).toEqual([0, ''])
    const client = { id: 'cli_by-hand', secret: textOf(parseJson(made.stdout), 'secret') }
    site.stage.keepSecret(client.secret)
    const token = await clientToken(site.login.url, client)
    expect((await site.use('/documents', { token })).status).toBe(200)

    const disabled = await clients('disable', client.id)
    expect(disabled.code).toBe(0)
    await site.caughtUp()
    expectProblem(await site.use('/documents', { token }), 401, 'token_invalid')
    expectRefusedToken(await askForToken(site.login.url, client))

    expect((await clients('enable', client.id)).code).toBe(0)
    const rotated = await clients('rotate', client.id, '--grace-seconds', '0')
    const next = { ...client, secret: textOf(parseJson(rotated.stdout), 'secret') }
    site.stage.keepSecret(next.secret)
    expectRefusedToken(await askForToken(site.login.url, client))
    expect((await askForToken(site.login.url, next)).status).toBe(200)

    const listed = await clients('list')
    expect(listed.stdout).toContain('cli_by-hand')
    expect(listed.stdout).not.toContain(next.secret)
    expect((await clients('delete', client.id)).code).toBe(0)
    await site.caughtUp()
    expectProblem(await site.use('/documents', { token }), 401, 'token_invalid')
    expect((await clients('delete', client.id)).code).toBe(1)
    expect((await clients('nonsense')).code).toBe(2)
  })

  test('explains why a key is refused, without showing it', async () => {
    const client = await make('explained', ['documents:read'])
    const key = await makeKey(site, site.root.accessToken, {
      ownerId: client.id,
      permissions: ['documents:read'],
    })
    await site.caughtUp()
    const explain = (input: string) => run(['keys', 'explain', '--json'], site.serviceFile, `${input}\n`)
    const good = await explain(key.key)
    expect([good.code, good.stderr]).toEqual([0, ''])
    expect(parseJson(good.stdout)).toMatchObject({ accepted: true })

    await site.manage(`/clients/${client.id}/disable`, { method: 'POST' })
    await site.caughtUp()
    const refused = await explain(key.key)
    expect(refused.code).toBe(1)
    expect(parseJson(refused.stdout)).toMatchObject({ accepted: false })
    expect(refused.stdout).toMatch(/owner/)
    expect((await explain('lk_nonsense')).code).toBe(1)
    for (const { stdout, stderr } of [good, refused])
      expect(stdout + stderr).not.toContain(key.key.slice(-43))
  })
})

test('nothing secret went to either log', async () => {
  await Promise.all([site.login.stop(), site.service.stop()])
  expect(site.stage.leaks()).toEqual([])
})
