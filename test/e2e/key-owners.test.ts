import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type CallOptions, call } from '../support/http.ts'
import { listOf, member, parseJson, textOf } from '../support/json.ts'
import { expectProblem } from '../support/problem.ts'
import { command } from '../support/program.ts'
import { addPerson, keyOf, makeKey, type Person, type Site, signIn, startSite } from '../support/site.ts'
import { until } from '../support/wait.ts'

/** Somebody leaves: what would stop is asked first, then it is moved, and then the account is disabled. */

let site: Site
let root: string
let ann: Person

beforeAll(async () => {
  site = await startSite()
  root = (await signIn(site, site.admin)).accessToken
  ann = await addPerson(site, root, { name: 'ann' })
})
afterAll(() => site.stage.end())

const onLogin = (path: string, options: CallOptions = {}) =>
  call(site.login.url + path, { token: root, ...options })
const onService = (path: string, options: CallOptions = {}) =>
  call(site.service.url + path, { token: root, ...options })
const useKey = (key: string) => call(`${site.service.url}/documents`, { key })

/** A service account, and its token for `service-a`. */
const addMachine = async (name: string, scopes: string[]) => {
  const made = await onLogin('/clients', { json: { name, scopes } })
  const [id, secret] = [textOf(made.body, 'id'), textOf(made.body, 'secret')]
  site.stage.keepSecret(secret)
  const response = await fetch(`${site.login.url}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${id}:${secret}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', audience: 'service-a' }),
  })
  return { id, token: textOf(await response.json(), 'access_token') }
}

const explain = async (input: string, args: readonly string[] = []) => {
  const child = Bun.spawn([...command(), 'keys', 'explain', '--json', ...args], {
    cwd: site.service.folder,
    env: { PATH: process.env.PATH ?? '' },
    stdin: new Blob([input]),
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const told = await new Response(child.stdout).text()
  return { code: await child.exited, told, body: parseJson(told) }
}

test('the engineer who left: what was moved works on, what was not is refused', async () => {
  const machine = await addMachine('production', ['documents:read', 'documents:write'])
  const [moved, idle, left] = [
    await makeKey(site, ann.accessToken, { name: 'production' }),
    await makeKey(site, ann.accessToken, { name: 'idle' }),
    await makeKey(site, ann.accessToken, { name: 'of her own' }),
  ]
  const since = new Date(Date.now() - 60_000).toISOString()
  for (const { key } of [moved, left]) expect((await useKey(key)).status).toBe(200)

  const missed = await onService(`/api-keys?owner=${ann.id}&usedSince=${since}`)
  expect(listOf(missed.body, 'items').map(item => member(item, 'id'))).toEqual([moved.id, left.id])
  const json = { from: ann.id, to: machine.id, keyIds: [moved.id, idle.id] }
  const answer = await onService('/api-keys/transfer', { json })
  expect(answer.status).toBe(200)
  expect(answer.body).toMatchObject({ remaining: 1 })
  expect(listOf(answer.body, 'items')).toMatchObject([
    { id: moved.id, ownerId: machine.id, createdBy: ann.id },
    { id: idle.id, ownerId: machine.id, createdBy: ann.id },
  ])

  expect((await onLogin(`/users/${ann.id}/disable`, { method: 'POST' })).status).toBe(200)
  await until('her own key is refused', async () => (await useKey(left.key)).status === 403)
  expectProblem(await useKey(left.key), 403, 'api_key_owner_inactive')
  expect((await useKey(moved.key)).status).toBe(200)

  const good = await explain(moved.key)
  expect([good.code, member(good.body, 'accepted')]).toEqual([0, true])
  const refused = await explain(left.key)
  expect(refused.code).toBe(1)
  expect(refused.body).toMatchObject({ code: 'api_key_owner_inactive', keyId: left.id })
  expect(listOf(refused.body, 'checks').find(check => member(check, 'check') === 'owner')).toMatchObject({
    outcome: 'failed',
    detail: 'disabled',
    since: expect.stringMatching(/^\d{4}-/),
  })
  for (const { told } of [good, refused]) expect(told).not.toContain(left.key.slice(-49, -6))

  // From somebody who is disabled keys can still be taken over.
  const rest = await onService('/api-keys/transfer', { json: { from: ann.id, to: machine.id } })
  expect(rest.body).toMatchObject({ items: [{ id: left.id }], remaining: 0 })
  expect((await useKey(left.key)).status).toBe(200)
})

test('a service account makes keys of its own, which end with it', async () => {
  const machine = await addMachine('ci', ['documents:read'])
  const made = await onService('/api-keys', {
    token: machine.token,
    json: { name: 'ci', permissions: ['documents:read'] },
  })
  const { id, key } = keyOf(site, made)
  expect(made.body).toMatchObject({ ownerId: machine.id, createdBy: machine.id })
  // The feed has to tell of the account first: a key of nobody is none.
  await until('its key is let in', async () => (await useKey(key)).status === 200)
  const beyond = { name: 'ci', permissions: ['documents:write'] }
  expectProblem(
    await onService('/api-keys', { token: machine.token, json: beyond }),
    422,
    'permission_not_grantable',
  )
  expectProblem(
    await onService('/api-keys', { json: { ...beyond, ownerId: machine.id } }),
    422,
    'permission_not_grantable',
  )
  const byAdmin = await onService('/api-keys', { json: { name: 'ci', ownerId: machine.id } })
  expect(byAdmin.body).toMatchObject({ ownerId: machine.id })
  keyOf(site, byAdmin)

  expect((await onLogin(`/clients/${machine.id}/disable`, { method: 'POST' })).status).toBe(200)
  await until('its key is refused', async () => (await useKey(key)).status === 403)
  expectProblem(await onService('/api-keys', { token: machine.token }), 401, 'token_invalid')
  const nobody = await onService('/api-keys', { json: { name: 'ci', ownerId: machine.id } })
  expectProblem(nobody, 422, 'owner_unknown')
  expect((await onLogin(`/clients/${machine.id}`, { method: 'DELETE' })).status).toBe(204)
  await until('its key is revoked', async () => {
    return member((await useKey(key)).body, 'code') === 'api_key_revoked'
  })
  expect((await explain('', [id])).body).toMatchObject({ accepted: false, code: 'api_key_revoked' })
})

test('nothing secret went to either log', async () => {
  await Promise.all([site.login.stop(), site.service.stop()])
  expect(site.stage.leaks()).toEqual([])
})
