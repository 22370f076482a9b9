import { describe, expect, test } from 'bun:test'
import { type ClientTokensOptions, createClientTokens } from './client-token.ts'

const good = { access_token: 'one', token_type: 'Bearer', expires_in: 300 }

type Call = { readonly url: string; readonly init: RequestInit }

const setUp = (answer: () => Response | Promise<Response>, options: Partial<ClientTokensOptions> = {}) => {
  const time = { now: 1_000_000 }
  const calls: Call[] = []
  const tokens = createClientTokens({
    url: 'https://login.example',
    clientId: 'cli_service',
    clientSecret: 'the secret',
    scope: 'changes:read',
    clock: () => time.now,
    fetch: async (url, init) => {
      calls.push({ url, init })
      return answer()
    },
    ...options,
  })
  return { tokens, calls, time }
}

describe('RFC 6749 section 4.4: a token for client credentials', () => {
  test('is asked for by POST with Basic, each half form-encoded (section 2.3.1), and follows no redirect', async () => {
    const { tokens, calls } = setUp(() => Response.json(good), { clientId: 'cli:a b', clientSecret: 'ü+%&' })
    expect(await tokens.get()).toBe('one')
    const [call] = calls
    expect(call?.url).toBe('https://login.example/oauth/token')
    expect(call?.init).toMatchObject({ method: 'POST', redirect: 'error' })
    expect(String(call?.init.body)).toBe('grant_type=client_credentials&scope=changes%3Aread')
    const headers = new Headers(call?.init.headers)
    expect(headers.get('content-type')).toBe('application/x-www-form-urlencoded')
    const [scheme, basic = ''] = headers.get('authorization')?.split(' ') ?? []
    expect(scheme).toBe('Basic')
    expect(Buffer.from(basic, 'base64').toString()).toBe('cli%3Aa+b:%C3%BC%2B%25%26')
  })

  test('is asked for once, however many want it at once', async () => {
    const { tokens, calls } = setUp(() => Response.json(good))
    expect(await Promise.all([tokens.get(), tokens.get(), tokens.get()])).toEqual(['one', 'one', 'one'])
    expect(calls).toHaveLength(1)
  })

  test('serves until shortly before it expires, and no longer', async () => {
    const { tokens, calls, time } = setUp(() => Response.json(good))
    await tokens.get()
    time.now += 269_000
    await tokens.get()
    expect(calls).toHaveLength(1)
    time.now += 2_000
    await tokens.get()
    expect(calls).toHaveLength(2)
  })

  test('a clock that was set back makes no token live longer', async () => {
    const { tokens, calls, time } = setUp(() => Response.json(good))
    await tokens.get()
    time.now -= 3_600_000
    await tokens.get()
    expect(calls).toHaveLength(2)
  })

  test('that was refused is asked for anew, once', async () => {
    let made = 0
    const { tokens, calls } = setUp(() => {
      made += 1
      return Response.json({ ...good, access_token: `token-${made}` })
    })
    tokens.drop(await tokens.get())
    expect(await tokens.get()).toBe('token-2')
    tokens.drop('token-1')
    expect(await tokens.get()).toBe('token-2')
    expect(calls).toHaveLength(2)
  })
})

describe('an answer that is no token', () => {
  test.each<[string, () => Response]>([
    ['a refusal', () => Response.json({ error: 'invalid_client', access_token: 'one' }, { status: 401 })],
    [
      'a redirect',
      () => new Response(null, { status: 302, headers: { location: 'https://elsewhere.example' } }),
    ],
    ['no JSON', () => new Response('one')],
    ['nothing', () => new Response('')],
    ['a list', () => Response.json([good])],
    ['one without a token', () => Response.json({ ...good, access_token: undefined })],
    ['a token that is no text', () => Response.json({ ...good, access_token: 1 })],
    ['a token with a line in it', () => Response.json({ ...good, access_token: 'a\r\nx: y' })],
    ['a token of another type', () => Response.json({ ...good, token_type: 'mac' })],
    ['one without an end', () => Response.json({ ...good, expires_in: undefined })],
    ['one that is over', () => Response.json({ ...good, expires_in: 0 })],
    ['more than 64 KiB', () => Response.json({ ...good, more: 'x'.repeat(70_000) })],
  ])('%s: is an error without the secret in it, and not kept', async (_, answer) => {
    let isGood = false
    const { tokens } = setUp(() => (isGood ? Response.json(good) : answer()))
    const error = await tokens.get().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(Error)
    expect(Bun.inspect(error)).not.toContain('the secret')
    isGood = true
    expect(await tokens.get()).toBe('one')
  })

  test('that does not come ends after its time', async () => {
    const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Promise<Response>(() => {}) })
    const tokens = createClientTokens({
      url: `http://127.0.0.1:${server.port}`,
      clientId: 'c',
      clientSecret: 's',
      scope: 'changes:read',
      clock: Date.now,
      timeoutMilliseconds: 50,
    })
    await expect(tokens.get()).rejects.toThrow()
    await server.stop(true)
  })
})
