import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Failure } from '../lib/failure.ts'
import { Refusal } from '../lib/problem-answer.ts'
import { type Contract, contractOf, expectAnswer, sent } from '../lib/test-http.ts'
import type { ServiceCode } from './errors.ts'
import type { LoginGateway, Profile } from './login-gateway.ts'
import { createTestService, type TestService, userId } from './test-service.ts'

const [ann, bob] = [userId('a'), userId('b')]
const profile: Profile = {
  id: ann,
  email: 'ann@example.com',
  displayName: 'Ann',
  roles: ['user'],
  status: 'active',
}

let service: TestService
let asAnn: Record<string, string>
/** What `login` was asked, and by whom. */
let asked: [string, ...unknown[]][]
let login: LoginGateway
beforeEach(async () => {
  asked = []
  login = {
    findUser: async (...args) => {
      asked.push(['findUser', ...args])
      return profile
    },
    findClient: async (...args) => {
      asked.push(['findClient', ...args])
      return null
    },
    ownProfile: async (...args) => {
      asked.push(['ownProfile', ...args])
      return profile
    },
    changeOwnProfile: async (...args) => {
      asked.push(['changeOwnProfile', ...args])
      return { ...profile, ...args[0] }
    },
    closeOwnAccount: async (...args) => {
      asked.push(['closeOwnAccount', ...args])
    },
  }
  service = createTestService({
    login: {
      findUser: (...args) => login.findUser(...args),
      ownProfile: (...args) => login.ownProfile(...args),
      changeOwnProfile: (...args) => login.changeOwnProfile(...args),
      closeOwnAccount: (...args) => login.closeOwnAccount(...args),
    },
  })
  asAnn = await service.as(ann)
})
afterEach(() => {
  expect(service.lines.join()).not.toMatch(/eyJ|lk_/)
  service.database.close()
})

const account = (method: string, headers: Record<string, string> = asAnn, body?: unknown) =>
  service.send(method, '/account', { headers, ...sent(body) })

describe('GET /whoami', () => {
  test('says who a token stands for, and what it may do', async () => {
    const answer = await service.send('GET', '/whoami', {
      headers: await service.as(ann, ['user', 'nobody']),
    })
    expectAnswer(answer, { status: 200 })
    expect(answer.json()).toEqual({
      kind: 'user',
      ownerId: ann,
      userId: ann,
      clientId: 'latchkey-login',
      sessionId: `ses_${'0'.repeat(32)}`,
      permissions: ['documents:read', 'documents:write'],
      roles: ['user', 'nobody'],
    })
  })

  test('KEY-05: says who a key stands for, and nothing of its secret', async () => {
    const headers = await service.key(ann, ['documents:read'])
    const answer = await service.send('GET', '/whoami', { headers })
    expectAnswer(answer, { status: 200, lacks: [headers['x-api-key']?.slice(-40) ?? '', 'hash'] })
    expect(answer.json()).toEqual({
      kind: 'key',
      ownerId: ann,
      keyId: expect.stringMatching(/^key_[0-9A-Za-z]{16}$/),
      permissions: ['documents:read'],
      roles: [],
    })
  })

  test('login is not asked', async () => {
    await service.send('GET', '/whoami', { headers: asAnn })
    expect(asked).toEqual([])
  })
})

describe('/account', () => {
  test('AUT-12: passes the caller’s own token on, and to login alone', async () => {
    expectAnswer(await account('GET'), { status: 200 })
    expectAnswer(await account('PATCH', asAnn, { displayName: null }), {
      status: 200,
      has: ['"displayName":null'],
    })
    expectAnswer(await account('DELETE'), { status: 204 })
    expect(asked).toEqual([
      ['ownProfile', asAnn.authorization],
      ['changeOwnProfile', { displayName: null }, asAnn.authorization],
      ['closeOwnAccount', asAnn.authorization],
    ])
  })

  test('shows the profile as login has it', async () => {
    expect((await account('GET')).json()).toEqual(profile)
  })

  test.each(['GET', 'PATCH', 'DELETE'])(
    'KEY-08: %s is not for keys, and login never hears of them',
    async method => {
      const key = await service.key(ann, ['documents:*', 'api-keys:*'])
      const bearer = { authorization: `Bearer ${key['x-api-key']}` }
      for (const headers of [key, bearer, { 'x-api-key': 'lk_nonsense' }]) {
        const answer = await account(method, headers, method === 'PATCH' ? { displayName: 'Eve' } : undefined)
        expectAnswer(answer, contractOf('403 jwt_required'))
      }
      expectAnswer(await account(method, {}), {
        ...contractOf('400 credential_missing'),
        headers: { 'www-authenticate': 'Bearer' },
      })
      expectAnswer(
        await account(method, { authorization: 'Bearer nonsense' }),
        contractOf('401 token_invalid'),
      )
      expect(asked).toEqual([])
    },
  )

  test.each<[unknown, string]>([
    [{ roles: ['admin'] }, '422 invalid_request roles'],
    [{ displayName: 'A', status: 'active', id: bob }, '422 invalid_request status id'],
    [{ displayName: '' }, '422 invalid_request displayName'],
    [{ displayName: 'x'.repeat(401) }, '422 invalid_request displayName'],
    [{ displayName: 7 }, '422 invalid_request displayName'],
    ['{"__proto__":{"roles":["admin"]}}', '422 invalid_request __proto__'],
    ['[]', '422 invalid_request'],
    ['null', '422 invalid_request body'],
    ['{', '400 malformed_body'],
  ])('AZ-02: PATCH with %j is refused before login is asked', async (body, outcome) => {
    expectAnswer(await account('PATCH', asAnn, body), { ...contractOf(outcome), lacks: ['xxx'] })
    expect(asked).toEqual([])
  })

  const fields = [{ field: 'displayName', rule: 'x' }]
  const challenge = (error: string) => ({ 'www-authenticate': `Bearer error="${error}"` })
  const words = new Error('words of login')
  type Told = [outcome: string, failure: Failure, headers: Contract['headers']]
  test.each<Told>([
    [
      '503 login_unreachable',
      new Failure('login_unreachable', { retryAfterSeconds: 2, cause: words }),
      { 'retry-after': '2' },
    ],
    ['504 login_timeout', new Failure('login_timeout', { cause: words }), {}],
    ['502 login_bad_answer', new Failure('login_bad_answer', { cause: words }), {}],
    ['409 last_admin', new Failure('last_admin'), {}],
    ['422 invalid_request displayName', new Failure('invalid_request', { errors: fields }), {}],
    [
      '401 token_invalid',
      new Refusal('token_invalid', challenge('invalid_token')),
      challenge('invalid_token'),
    ],
    [
      '403 insufficient_permission',
      new Refusal('insufficient_permission', challenge('insufficient_scope')),
      challenge('insufficient_scope'),
    ],
  ])('AUT-13: what login refuses is told as %s, and not in its words', async (outcome, failure, headers) => {
    const fail = async (): Promise<never> => {
      throw failure
    }
    login = {
      findUser: fail,
      findClient: fail,
      ownProfile: fail,
      changeOwnProfile: fail,
      closeOwnAccount: fail,
    }
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      const answer = await account(method, asAnn, method === 'PATCH' ? {} : undefined)
      expectAnswer(answer, { ...contractOf(outcome), headers: headers ?? {}, lacks: ['words of login'] })
    }
  })
})

describe('DELETE /account', () => {
  const read = (headers: Record<string, string>) => service.send('GET', '/documents/notes', { headers })
  const keys = () => service.database.query('SELECT * FROM api_keys').all()
  const documents = () => service.database.query('SELECT * FROM documents').all()

  /** Ann and Bob with a document and two keys each. */
  const people = async () => {
    const asBob = await service.as(bob)
    for (const headers of [asAnn, asBob]) {
      await service.send('PUT', '/documents/notes', { headers, body: 1 })
    }
    const permissions = ['documents:read']
    return {
      asBob,
      annKeys: [await service.key(ann, permissions), await service.key(ann, permissions)],
      bobKey: await service.key(bob, permissions),
    }
  }

  test('KEY-15: closes the account there, then revokes every key here and deletes every document', async () => {
    const { annKeys, bobKey, asBob } = await people()
    const kept: unknown[] = []
    const { closeOwnAccount } = login
    login.closeOwnAccount = async authorization => {
      // Nothing is done here before login has said yes.
      kept.push(keys(), documents())
      await closeOwnAccount(authorization)
    }
    const before = [keys(), documents()]
    expectAnswer(await account('DELETE'), { status: 204 })
    expect(kept).toEqual(before)
    for (const key of annKeys) expectAnswer(await read(key), contractOf('403 api_key_revoked'))
    expectAnswer(await read(asAnn), contractOf('404 document_not_found'))
    expectAnswer(await read(bobKey), { status: 200 })
    expectAnswer(await read(asBob), { status: 200 })
  })

  test('LOG-01: the end of each key is audited, by the owner and the request', async () => {
    await people()
    await service.send('DELETE', '/account', { headers: { ...asAnn, 'x-request-id': 'req-close' } })
    const rows = service.database
      .query("SELECT actor_id, action, request_id FROM api_key_audit WHERE action = 'api_key.revoked'")
      .all()
    expect(rows).toEqual(Array(2).fill({ actor_id: ann, action: 'api_key.revoked', request_id: 'req-close' }))
  })

  test.each([
    ['503 login_unreachable', 'login_unreachable'],
    ['504 login_timeout', 'login_timeout'],
    ['502 login_bad_answer', 'login_bad_answer'],
    ['409 last_admin', 'last_admin'],
  ] as const)('when login answers %s, nothing here is changed', async (outcome, code) => {
    const { annKeys } = await people()
    const before = [keys(), documents()]
    login.closeOwnAccount = async () => {
      throw new Failure<ServiceCode>(code)
    }
    expectAnswer(await account('DELETE'), contractOf(outcome))
    expect([keys(), documents()]).toEqual(before)
    expectAnswer(await read(annKeys[0] ?? {}), { status: 200 })
  })

  test('of somebody who has nothing here is 204 too', async () => {
    expectAnswer(await account('DELETE'), { status: 204 })
  })
})
