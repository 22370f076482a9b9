import { freePort } from './ports.ts'

/** Stands in for `login` where that would have to be broken, or in other hands. */
export type FakeLogin = {
  readonly url: string
  /** How many requests came since the last change, and to which paths; those for the change feed do not count. */
  readonly paths: readonly string[]
  /** Answers like this from now on. */
  answerWith(answer: (request: Request) => Response | Promise<Response>): void
  stop(): Promise<void>
}

/** A change feed that tells of these subjects once and of nothing after: without one a service refuses everybody. */
const createFeed = (subjects: readonly string[]) => {
  const position = { generation: 'fake', sequence: 0 }
  const state = { status: 'active', roles: ['user'], scopes: [] }
  const items = subjects.map(id => ({ kind: 'subject', id, state }))
  return async ({ url }: Request): Promise<Response | null> => {
    const { pathname, searchParams } = new URL(url)
    if (pathname === '/oauth/token') {
      return Response.json({ access_token: 'fake', token_type: 'Bearer', expires_in: 300 })
    }
    if (pathname === '/changes/snapshot') {
      return Response.json({ ...position, cursor: 'fake', items, nextPage: null })
    }
    if (pathname !== '/changes') return null
    await Bun.sleep(Number(searchParams.get('wait')) * 1_000)
    return Response.json({ ...position, items: [], nextCursor: 'fake' })
  }
}

export const startFakeLogin = async (subjects: readonly string[] = []): Promise<FakeLogin> => {
  const feed = createFeed(subjects)
  let answer: (request: Request) => Response | Promise<Response> = () => new Response(null, { status: 404 })
  const paths: string[] = []
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: await freePort(),
    idleTimeout: 60,
    fetch: async request => {
      const told = await feed(request)
      if (told !== null) return told
      paths.push(new URL(request.url).pathname)
      return answer(request)
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}`,
    paths,
    answerWith: next => {
      paths.length = 0
      answer = next
    },
    stop: () => server.stop(true),
  }
}
