import { describe, expect, test } from 'bun:test'
import { createServer, type Server, type Socket } from 'node:net'
import { Failure } from '../lib/failure.ts'
import { createLoginGateway } from './login-gateway.ts'
import { userId } from './test-service.ts'

const ann = userId('a')
const authorization = 'Bearer a.b.c'
const profile = { id: ann, email: 'ann@example.com', displayName: null, roles: ['user'], status: 'active' }

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise
    return 'fulfilled'
  } catch (error) {
    if (error instanceof Failure) return error.code
    throw error
  }
}

/** Answers each connection in turn as it is told, for what no HTTP server does on purpose. */
const serveSockets = async (answer: (socket: Socket, count: number) => void) => {
  const sockets: Socket[] = []
  const server: Server = createServer(socket => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.once('data', () => answer(socket, sockets.length))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    connections: () => sockets.length,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

const good = (socket: Socket): void => {
  const body = JSON.stringify(profile)
  socket.end(
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
}
const reset = (socket: Socket): void => {
  socket.resetAndDestroy()
}
const noContent = (socket: Socket): void => {
  socket.end('HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n')
}

/** An address at which nobody listens. */
const nobody = async (): Promise<string> => {
  using server = await serveSockets(good)
  return server.url
}

describe('AUT-13: a login that does not answer', () => {
  test('is a timeout, in the time that is given and no later', async () => {
    using login = await serveSockets(() => {})
    const gateway = createLoginGateway({ url: login.url, timeoutMilliseconds: 120 })
    for (const call of [
      () => gateway.findUser(ann, authorization),
      () => gateway.ownProfile(authorization),
      () => gateway.changeOwnProfile({}, authorization),
      () => gateway.closeOwnAccount(authorization),
    ]) {
      const startedAt = performance.now()
      expect(await codeOf(call())).toBe('login_timeout')
      expect(performance.now() - startedAt).toBeWithin(100, 600)
    }
    expect(login.connections()).toBe(4)
  })

  test('to the end is a timeout too: headers are no answer', async () => {
    using login = await serveSockets(socket => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"id"')
    })
    const gateway = createLoginGateway({ url: login.url, timeoutMilliseconds: 120 })
    expect(await codeOf(gateway.ownProfile(authorization))).toBe('login_timeout')
  })

  test('is given one time for all tries together: the caller is waiting', async () => {
    using login = await serveSockets((socket, count) => {
      if (count < 3) setTimeout(() => reset(socket), 60)
    })
    const gateway = createLoginGateway({ url: login.url, timeoutMilliseconds: 250 })
    const startedAt = performance.now()
    expect(await codeOf(gateway.ownProfile(authorization))).toBeOneOf(['login_timeout', 'login_unreachable'])
    expect(performance.now() - startedAt).toBeWithin(50, 700)
  })

  test('is unreachable when nobody listens, with a time to come again', async () => {
    const gateway = createLoginGateway({ url: await nobody() })
    const failure = await gateway.ownProfile(authorization).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'login_unreachable', retryAfterSeconds: 2 })
  })

  test.each<[string, (socket: Socket) => void]>([
    ['a reset', reset],
    ['an end', socket => socket.end()],
    ['half an answer', socket => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{')],
    ['something else than HTTP', socket => socket.end('SSH-2.0-x\r\n\r\n')],
  ])('is unreachable when the answer is %s', async (_, answer) => {
    using login = await serveSockets(answer)
    const gateway = createLoginGateway({ url: login.url, timeoutMilliseconds: 2_000 })
    expect(await codeOf(gateway.ownProfile(authorization))).toBeOneOf([
      'login_unreachable',
      'login_bad_answer',
    ])
  })
})

describe('AUT-13: tries', () => {
  test('of what changes nothing are three at most, and one that succeeds is enough', async () => {
    for (const [succeedsAt, outcome, tries] of [
      [1, 'fulfilled', 1],
      [2, 'fulfilled', 2],
      [3, 'fulfilled', 3],
      [4, 'login_unreachable', 3],
    ] as const) {
      for (const call of ['findUser', 'ownProfile', 'changeOwnProfile'] as const) {
        using login = await serveSockets((socket, count) => (count < succeedsAt ? reset : good)(socket))
        const gateway = createLoginGateway({ url: login.url })
        const promise = {
          findUser: () => gateway.findUser(ann, authorization),
          ownProfile: () => gateway.ownProfile(authorization),
          changeOwnProfile: () => gateway.changeOwnProfile({ displayName: 'Ann' }, authorization),
        }[call]()
        expect({ call, outcome: await codeOf(promise), tries: login.connections() }).toEqual({
          call,
          outcome,
          tries,
        })
      }
    }
  })

  test('of a deletion are one: nobody can tell whether it was done', async () => {
    using login = await serveSockets((socket, count) => (count === 1 ? reset : noContent)(socket))
    const gateway = createLoginGateway({ url: login.url })
    expect(await codeOf(gateway.closeOwnAccount(authorization))).toBe('login_unreachable')
    expect(login.connections()).toBe(1)
    expect(await codeOf(gateway.closeOwnAccount(authorization))).toBe('fulfilled')
  })
})

describe('AUT-13: the breaker', () => {
  const setUp = async () => {
    let isWell = false
    const login = await serveSockets(socket => (isWell ? noContent : reset)(socket))
    const time = { now: 0 }
    const gateway = createLoginGateway({ url: login.url, clock: () => time.now })
    return {
      login,
      time,
      // One try each, so that calls can be counted.
      call: () => codeOf(gateway.closeOwnAccount(authorization)),
      heal: (well: boolean) => {
        isWell = well
      },
    }
  }

  test('leaves login alone after five failures in a row, for two seconds, to the millisecond', async () => {
    const { login, time, call, heal } = await setUp()
    using _ = login
    for (let failure = 1; failure <= 5; failure += 1) expect(await call()).toBe('login_unreachable')
    expect(login.connections()).toBe(5)
    heal(true)
    for (const now of [0, 1, 1_999]) {
      time.now = now
      expect(await call()).toBe('login_unreachable')
    }
    expect(login.connections()).toBe(5)
    time.now = 2_000
    expect(await call()).toBe('fulfilled')
    expect(login.connections()).toBe(6)
  })

  test('opens again at once when login still fails after that', async () => {
    const { login, time, call } = await setUp()
    using _ = login
    for (let failure = 1; failure <= 5; failure += 1) await call()
    time.now = 2_000
    await call()
    time.now = 3_999
    await call()
    expect(login.connections()).toBe(6)
  })

  test('counts failures in a row: one success in between and the count is new', async () => {
    const { login, call, heal } = await setUp()
    using _ = login
    for (let turn = 0; turn < 3; turn += 1) {
      heal(false)
      for (let failure = 1; failure <= 4; failure += 1) expect(await call()).toBe('login_unreachable')
      heal(true)
      expect(await call()).toBe('fulfilled')
    }
    expect(login.connections()).toBe(15)
  })

  test('is not moved by what login holds against callers', async () => {
    const body = JSON.stringify({ code: 'token_invalid' })
    using login = await serveSockets(socket => {
      socket.end(
        `HTTP/1.1 401 Unauthorized\r\ncontent-type: application/problem+json\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      )
    })
    const gateway = createLoginGateway({ url: login.url, clock: () => 0 })
    for (let turn = 0; turn < 8; turn += 1) {
      expect(await codeOf(gateway.ownProfile(authorization))).toBe('token_invalid')
    }
    expect(login.connections()).toBe(8)
  })

  test('of one gateway says nothing about another', async () => {
    using login = await serveSockets(good)
    const broken = createLoginGateway({ url: await nobody(), clock: () => 0 })
    for (let turn = 0; turn < 6; turn += 1) await codeOf(broken.closeOwnAccount(authorization))
    expect(await codeOf(createLoginGateway({ url: login.url }).ownProfile(authorization))).toBe('fulfilled')
  })
})
