import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Answer, call } from '../support/http.ts'
import { expectProblem } from '../support/problem.ts'
import {
  addPerson,
  makeKey,
  type Person,
  refresh,
  type Site,
  signIn,
  startSite,
  type Tokens,
  tokenModes,
  tokensOf,
} from '../support/site.ts'

describe.each([...tokenModes])('sessions, tokens signed by %s', mode => {
  let site: Site
  let adminToken: string
  let ann: Person

  const login = (path: string): string => `${site.login.url}${path}`
  const me = (token: string): Promise<Answer> => call(login('/users/me'), { token })
  const logout = (refreshToken: string, scope?: string): Promise<Answer> =>
    call(login('/auth/logout'), {
      json: { refresh_token: refreshToken, ...(scope === undefined ? {} : { scope }) },
    })
  const renew = async (tokens: Tokens): Promise<Tokens> =>
    tokensOf(site, await refresh(site, tokens.refreshToken))

  const expectOver = async ({ accessToken, refreshToken }: Tokens): Promise<void> => {
    const refused = await refresh(site, refreshToken)
    expectProblem(refused, 401, 'refresh_token_invalid')
    expect(refused.headers.get('www-authenticate')).toBe('Bearer')
    expectProblem(await me(accessToken), 401, 'token_invalid')
  }
  const expectLive = async ({ accessToken }: Tokens): Promise<void> => {
    expect((await me(accessToken)).status).toBe(200)
  }

  beforeAll(async () => {
    site = await startSite({ mode })
    adminToken = (await signIn(site, site.admin)).accessToken
    ann = await addPerson(site, adminToken, { name: 'ann' })
  })
  afterAll(() => site.stage.end())

  test('a refresh token brings a new pair, which both services take (SES-02, SES-05)', async () => {
    const answer = await refresh(site, ann.refreshToken)
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store'])
    const next = tokensOf(site, answer)
    expect(next.refreshToken).not.toBe(ann.refreshToken)
    expect(next.accessToken).not.toBe(ann.accessToken)
    await expectLive(next)
    const { status } = await call(`${site.service.url}/whoami`, { token: next.accessToken })
    expect(status).toBe(200)
  })

  test('a refresh token that is used again within seconds brings the same successor: an answer may get lost (SES-02)', async () => {
    const first = await signIn(site, ann)
    const second = await renew(first)
    expect((await renew(first)).refreshToken).toBe(second.refreshToken)
    const third = await renew(second)
    expect((await renew(second)).refreshToken).toBe(third.refreshToken)
    await expectLive(third)
  })

  test('a refresh token older than the last but one ends the session, for thief and owner alike (SES-02)', async () => {
    const first = await signIn(site, ann)
    const other = await signIn(site, ann)
    const second = await renew(first)
    const third = await renew(second)
    await expectLive(third)
    expectProblem(await refresh(site, first.refreshToken), 401, 'refresh_token_invalid')
    await expectOver(third)
    await expectOver(second)
    await expectLive(other)
  })

  test('twenty refreshes at once all bring the same token, and it is good (SES-02)', async () => {
    const first = await signIn(site, ann)
    const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(site, first.refreshToken)))
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200))
    const tokens = answers.map(answer => tokensOf(site, answer))
    expect(new Set(tokens.map(({ refreshToken }) => refreshToken)).size).toBe(1)
    for (const each of tokens) await expectLive(each)
    const [one = first] = tokens
    await expectLive(await renew(one))
  })

  test('a refresh token is no access token, an access token no refresh token, and neither is an API key (TOK-20)', async () => {
    const tokens = await signIn(site, ann)
    expectProblem(await me(tokens.refreshToken), 401, 'token_invalid')
    const whoami = `${site.service.url}/whoami`
    expectProblem(await call(whoami, { token: tokens.refreshToken }), 401, 'token_invalid')
    expectProblem(await call(whoami, { key: tokens.refreshToken }), 403, 'api_key_invalid')
    expectProblem(await call(whoami, { key: tokens.accessToken }), 403, 'api_key_invalid')
    expectProblem(await refresh(site, tokens.accessToken), 401, 'refresh_token_invalid')
    const { key } = await makeKey(site, tokens.accessToken)
    expectProblem(await refresh(site, key), 401, 'refresh_token_invalid')
    await expectLive(tokens)
  })

  test('a refresh token that was altered or guessed is refused and harms no session (SES-01)', async () => {
    const tokens = await signIn(site, ann)
    const { refreshToken } = tokens
    const last = refreshToken.at(-2) === 'A' ? 'B' : 'A'
    const altered = [
      `${refreshToken.slice(0, -2)}${last}${refreshToken.slice(-1)}`,
      refreshToken.replace(/0_/, '1_'),
      `${refreshToken.slice(0, -43)}${'A'.repeat(43)}`,
      `${refreshToken} `,
      refreshToken.slice(0, -1),
      'lkr_',
      '\u0000',
    ]
    for (const text of altered) {
      expect(text).not.toBe(refreshToken)
      expectProblem(await refresh(site, text), 401, 'refresh_token_invalid')
    }
    await expectLive(await renew(tokens))
  })

  test('signing out ends this session, the others or all, as asked (SES-04)', async () => {
    const [a, b, c] = [await signIn(site, ann), await signIn(site, ann), await signIn(site, ann)]
    expect((await logout(a.refreshToken)).status).toBe(204)
    await expectOver(a)
    await expectLive(b)
    await expectLive(c)
    expect((await logout(b.refreshToken, 'others')).status).toBe(204)
    await expectLive(b)
    await expectOver(c)
    const d = await signIn(site, ann)
    expect((await logout(d.refreshToken, 'global')).status).toBe(204)
    await expectOver(b)
    await expectOver(d)
  })

  test('signing out by a token that was traded long ago ends its own session and no other, whatever the scope', async () => {
    const dave = await addPerson(site, adminToken, { name: 'dave' })
    const other = await signIn(site, dave)
    const latest = await renew(await renew(dave))
    expect((await logout(dave.refreshToken, 'global')).status).toBe(204)
    await expectOver(latest)
    await expectLive(other)
  })

  test('signing out is answered alike whatever the token, and ends nobody else’s session', async () => {
    const bob = await addPerson(site, adminToken, { name: 'bob' })
    const over = await signIn(site, ann)
    await logout(over.refreshToken)
    const forged = `${bob.refreshToken.slice(0, -43)}${'A'.repeat(43)}`
    for (const token of [over.refreshToken, forged, 'nonsense', bob.accessToken]) {
      for (const scope of ['local', 'others', 'global']) {
        const answer = await logout(token, scope)
        expect([answer.status, answer.text]).toEqual([204, ''])
      }
    }
    await expectLive(bob)
  })

  test('a disabled user is out at once: sessions, refresh and sign-in; enabling brings back sign-in only (SES-04)', async () => {
    const carl = await addPerson(site, adminToken, { name: 'carl' })
    const admin = { token: adminToken, method: 'POST' }
    const disabled = await call(login(`/users/${carl.id}/disable`), admin)
    expect([disabled.status, disabled.body]).toMatchObject([200, { id: carl.id, status: 'disabled' }])
    await expectOver(carl)
    const { email, password } = carl
    expectProblem(await call(login('/auth/login'), { json: { email, password } }), 401, 'credentials_invalid')

    const enabled = await call(login(`/users/${carl.id}/enable`), admin)
    expect([enabled.status, enabled.body]).toMatchObject([200, { id: carl.id, status: 'active' }])
    await expectOver(carl)
    await expectLive(await signIn(site, carl))
  })

  test('an administrator who is demoted, disabled or deleted manages nobody from the next request on', async () => {
    const users = (token: string): Promise<Answer> => call(login('/users'), { token })
    const changes = {
      demoted: { path: '', method: 'PATCH', json: { roles: ['user'] } },
      disabled: { path: '/disable', method: 'POST' },
      deleted: { path: '', method: 'DELETE' },
    }
    for (const [name, { path, ...change }] of Object.entries(changes)) {
      const former = await addPerson(site, adminToken, { name, roles: ['admin'] })
      expect((await users(former.accessToken)).status).toBe(200)
      expect(
        (await call(login(`/users/${former.id}${path}`), { token: adminToken, ...change })).status,
      ).toBeLessThan(300)
      const refused = await users(former.accessToken)
      if (name === 'demoted') {
        expectProblem(refused, 403, 'insufficient_permission')
        expect(refused.headers.get('www-authenticate')).toBe(
          'Bearer error="insufficient_scope", scope="users:manage"',
        )
      } else expectProblem(refused, 401, 'token_invalid')
    }
  })

  test('nothing secret went to either log (LOG-02)', async () => {
    await Promise.all([site.login.stop(), site.service.stop()])
    expect(site.stage.leaks()).toEqual([])
  })
})
