import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Answer, call } from '../support/http.ts'
import { listOf, member, textOf } from '../support/json.ts'
import { expectProblem, fieldsOf } from '../support/problem.ts'
import { type Role, startRole } from '../support/role.ts'
import {
  addPerson,
  type Credentials,
  createPassword,
  type Person,
  type Site,
  signIn,
  startSite,
} from '../support/site.ts'
import { createStage, type Stage } from '../support/stage.ts'

describe('managing users', () => {
  let site: Site
  let root: Person

  const users = (path = ''): string => `${site.login.url}/users${path}`
  const as = (token: string, path: string, method: string, json?: unknown): Promise<Answer> =>
    call(users(path), { token, method, ...(json === undefined ? {} : { json }) })
  const admins = async (): Promise<unknown[]> => {
    const { body } = await call(users('?status=active&limit=200'), {
      token: (await signIn(site, root)).accessToken,
    })
    return listOf(body, 'items').filter(user => listOf(user, 'roles').includes('admin'))
  }

  beforeAll(async () => {
    site = await startSite()
    const tokens = await signIn(site, site.admin)
    const { body } = await call(users('/me'), { token: tokens.accessToken })
    root = { ...site.admin, ...tokens, id: textOf(body, 'id') }
  })
  afterAll(() => site.stage.end())

  test('users are made, found, listed, changed and deleted by administrators alone', async () => {
    const ann = await addPerson(site, root.accessToken, { name: 'ann' })
    const bob = await addPerson(site, root.accessToken, { name: 'bob' })
    const json = { email: 'new@example.com', password: createPassword() }
    site.stage.keepSecret(json.password)
    const forbidden: (readonly [string, string, unknown?])[] = [
      ['', 'GET'],
      ['', 'POST', json],
      [`/${bob.id}`, 'GET'],
      [`/${bob.id}`, 'PATCH', { displayName: 'x' }],
      [`/${ann.id}`, 'PATCH', { roles: ['admin'] }],
      [`/${bob.id}`, 'DELETE'],
      [`/${bob.id}/disable`, 'POST'],
      [`/${bob.id}/enable`, 'POST'],
    ]
    for (const [path, method, body] of forbidden) {
      expectProblem(await as(ann.accessToken, path, method, body), 403, 'insufficient_permission')
    }
    expect((await as(root.accessToken, `/${bob.id}`, 'GET')).body).toMatchObject({
      email: bob.email,
      roles: ['user'],
    })
    const found = await as(root.accessToken, '?email=BOB@example.com', 'GET')
    expect(listOf(found.body, 'items').map(user => member(user, 'id'))).toEqual([bob.id])
    expectProblem(
      await as(root.accessToken, '', 'POST', { ...json, email: 'BOB@Example.com' }),
      409,
      'email_taken',
    )
    expect((await as(root.accessToken, `/${bob.id}`, 'DELETE')).status).toBe(204)
    expectProblem(await as(root.accessToken, `/${bob.id}`, 'GET'), 404, 'user_not_found')
  })

  test('a password that is too short, or says who it belongs to, is refused without being repeated', async () => {
    for (const password of ['short', 'someone@example.com', 'latchkeylatchkey']) {
      const refused = await as(root.accessToken, '', 'POST', { email: 'someone@example.com', password })
      expectProblem(refused, 422, 'password_unacceptable')
      expect(fieldsOf(refused)).toEqual(['password'])
      expect(refused.text).not.toContain(password)
    }
  })

  test('the last administrator can not be deleted, disabled or demoted, by themselves least of all (409)', async () => {
    const tries: (readonly [string, string, unknown?])[] = [
      ['/me', 'DELETE'],
      [`/${root.id}`, 'DELETE'],
      [`/${root.id}/disable`, 'POST'],
      [`/${root.id}`, 'PATCH', { roles: ['user'] }],
      [`/${root.id}`, 'PATCH', { roles: [] }],
    ]
    for (const [path, method, json] of tries) {
      expectProblem(await as(root.accessToken, path, method, json), 409, 'last_admin')
    }
    expect(await admins()).toHaveLength(1)
  })

  test('when all administrators leave at the same moment, one of them is told to stay', async () => {
    const ways: ((person: Person) => Promise<Answer>)[] = [
      ({ id, accessToken }) => as(accessToken, `/${id}`, 'PATCH', { roles: ['user'] }),
      ({ id, accessToken }) => as(accessToken, `/${id}/disable`, 'POST'),
      ({ accessToken }) => as(accessToken, '/me', 'DELETE'),
    ]
    const extra: Person[] = []
    for (const [index] of [...ways, ...ways].entries()) {
      extra.push(await addPerson(site, root.accessToken, { name: `admin${index}`, roles: ['admin'] }))
    }
    const leaving = extra.map((person, index) => ways[index % ways.length]?.(person))
    const staying = as(root.accessToken, `/${root.id}`, 'PATCH', {
      displayName: 'still here',
      roles: ['user'],
    })
    const answers = [...(await Promise.all(leaving)), await staying].flatMap(answer => answer ?? [])
    expect(answers).toHaveLength(7)
    const refused = answers.filter(({ status }) => status >= 300)
    expect(refused.map(({ body }) => member(body, 'code'))).toEqual(['last_admin'])
  })
})

describe('the first administrator', () => {
  let stage: Stage
  let login: Role

  /** The one-time token that a start printed for the person at the terminal. */
  const printedToken = async (): Promise<string> => {
    for (
      let tries = 0;
      tries < 1_000 && !login.program().stderr().includes('password of yours');
      tries += 1
    ) {
      await Bun.sleep(10)
    }
    const token = /lks_[\w-]{43}/.exec(login.program().stderr())?.[0] ?? ''
    stage.keepSecret(token)
    return token
  }
  const setup = (token: string, { email, password }: Credentials): Promise<Answer> =>
    call(`${login.url}/auth/setup`, { json: { token, email, password } })
  const newAdmin = (name: string): Credentials => {
    const password = createPassword()
    stage.keepSecret(password)
    return { email: `${name}@example.com`, password }
  }

  beforeAll(async () => {
    stage = createStage()
    login = await startRole(stage, { role: 'login' })
  })
  afterAll(() => stage.end())

  test('a start without one prints a one-time token, and each start a new one', async () => {
    const before = await printedToken()
    await login.stop()
    await login.restart()
    const after = await printedToken()
    expect(after).not.toBe(before)
    expectProblem(await setup(before, newAdmin('late')), 403, 'setup_token_invalid')
    expectProblem(await setup('lks_guessed', newAdmin('guess')), 403, 'setup_token_invalid')
  })

  test('a refused password does not use the token up', async () => {
    const refused = await setup(await printedToken(), { email: 'first@example.com', password: 'short' })
    expectProblem(refused, 422, 'password_unacceptable')
  })

  test('of several who have the token one becomes administrator, and then it is worth nothing', async () => {
    const token = await printedToken()
    const people = ['a', 'b', 'c'].map(newAdmin)
    const answers = await Promise.all(people.map(person => setup(token, person)))
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 403, 403])
    expectProblem(await setup(token, newAdmin('d')), 403, 'setup_token_invalid')
    const winner = people[answers.findIndex(({ status }) => status === 201)]
    const signedIn = await call(`${login.url}/auth/login`, { json: winner })
    const listed = await call(`${login.url}/users`, { token: textOf(signedIn.body, 'access_token') })
    expect(listOf(listed.body, 'items')).toMatchObject([{ email: winner?.email, roles: ['admin', 'user'] }])
  })

  test('once there is an administrator a start prints nothing, and ADMIN_EMAIL makes no second one', async () => {
    await login.stop()
    const { email, password } = newAdmin('second')
    await login.restart({ ADMIN_EMAIL: email, ADMIN_PASSWORD: password })
    expectProblem(
      await call(`${login.url}/auth/login`, { json: { email, password } }),
      401,
      'credentials_invalid',
    )
    await login.stop()
    expect(login.program().stderr()).toBe('')
  })

  test('no token and no password went to the log (LOG-02)', () => {
    expect(stage.logLines().length).toBeGreaterThan(5)
    expect(stage.leaks()).toEqual([])
  })
})
