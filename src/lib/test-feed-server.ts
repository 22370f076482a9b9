import type { Change, SnapshotItem, SubjectState } from './changes-schema.ts'
import { changeTypes } from './changes-schema.ts'

/** What a test server answers instead of what it should; null to let it answer as it should. */
export type Instead = (request: Request, path: string) => Response | Promise<Response> | null

export type FeedServer = AsyncDisposable & {
  readonly url: string
  /** Paths with queries, in the order in which they were asked. */
  readonly asked: string[]
  generation: string
  pageSize: number
  /** Changes that are gone, so that an older cursor leads nowhere. */
  pruned: number
  instead: Instead
  /** What is true at this moment. */
  readonly subjects: Map<string, SubjectState>
  readonly ended: Map<string, string>
  readonly history: Change[]
  /** Writes a change into the history, and what it says into the truth. */
  change(change: Partial<Change> & { readonly subjectId: string }): Change
  setState(id: string, state: Partial<SubjectState>): Change
  stop(): Promise<void>
}

export const active = (roles: string[] = ['user'], scopes: string[] = []): SubjectState => ({
  status: 'active',
  roles,
  scopes,
})
export const disabled: SubjectState = { status: 'disabled', roles: ['user'], scopes: [] }
export const deleted: SubjectState = { status: 'deleted', roles: [], scopes: [] }

export const clientId = 'cli_service'
export const clientSecret = 'a secret of the service'
const token = 'a-token-of-the-service'

/** A `login` that speaks the feed over a socket of this machine, as far as a follower can tell, and lies when told to. */
export const serveFeed = (): FeedServer => {
  const waiting = new Set<() => void>()
  let waitersWake = Promise.resolve()
  const sequence = (): number => server.history.at(-1)?.sequence ?? 0

  const changes = async (url: URL): Promise<Response> => {
    const after = url.searchParams.get('after') ?? ''
    const [generation, text] = after.split('.')
    const from = Number(text)
    if (generation !== server.generation || from < server.pruned || from > sequence()) {
      return Response.json({ code: 'resync_required' }, { status: 410 })
    }
    const limit = Number(url.searchParams.get('limit'))
    const read = (): Change[] => server.history.filter(({ sequence }) => sequence > from).slice(0, limit)
    const wait = Number(url.searchParams.get('wait')) * 1_000
    if (read().length === 0 && wait > 0) {
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, wait)
        waiting.add(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
    const items = read()
    const last = items.at(-1)?.sequence ?? from
    return Response.json({ generation: server.generation, items, nextCursor: `${server.generation}.${last}` })
  }

  const snapshot = (url: URL): Response => {
    const [start = '', cursor = `${server.generation}.${sequence()}`] = (
      url.searchParams.get('page') ?? ''
    ).split('|')
    const all: SnapshotItem[] = [
      ...[...server.subjects]
        .filter(([, { status }]) => status !== 'deleted')
        .map(([id, state]) => ({ kind: 'subject' as const, id, state })),
      ...[...server.ended].map(([id, expiresAt]) => ({ kind: 'session' as const, id, expiresAt })),
    ]
    const from = Number(start)
    const items = all.slice(from, from + server.pageSize)
    const end = from + server.pageSize
    return Response.json({
      generation: server.generation,
      cursor,
      sequence: sequence(),
      items,
      nextPage: end < all.length ? `${end}|${cursor}` : null,
    })
  }

  const answer = (request: Request, url: URL): Response | Promise<Response> => {
    const { pathname } = url
    if (pathname === '/oauth/token') {
      return Response.json({ access_token: token, token_type: 'Bearer', expires_in: 300 })
    }
    if (request.headers.get('authorization') !== `Bearer ${token}`) return new Response(null, { status: 401 })
    if (pathname === '/changes') return changes(url)
    if (pathname === '/changes/snapshot') return snapshot(url)
    const [, id] = /^\/changes\/subjects\/([^/]+)$/.exec(pathname) ?? []
    if (id === undefined) return new Response(null, { status: 404 })
    const state = server.subjects.get(id) ?? deleted
    return Response.json({ generation: server.generation, sequence: sequence(), id, state })
  }

  const listener = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 60,
    fetch: request => {
      const url = new URL(request.url)
      server.asked.push(`${url.pathname}${url.search}`)
      return server.instead(request, url.pathname) ?? answer(request, url)
    },
  })

  const server: FeedServer = {
    url: `http://127.0.0.1:${listener.port}`,
    asked: [],
    generation: 'g1',
    pageSize: 1_000,
    pruned: 0,
    instead: () => null,
    subjects: new Map(),
    ended: new Map(),
    history: [],
    change: given => {
      const change: Change = {
        sequence: sequence() + 1,
        type: changeTypes.claimsChanged,
        at: new Date().toISOString(),
        state: null,
        sessionId: null,
        tokenId: null,
        expiresAt: null,
        ...given,
      }
      if (change.state !== null) server.subjects.set(change.subjectId, change.state)
      for (const id of [change.sessionId, change.tokenId]) {
        if (id !== null) server.ended.set(id, change.expiresAt ?? '2100-01-01T00:00:00.000Z')
      }
      server.history.push(change)
      // Whoever waits hears of all that is written in one turn together.
      waitersWake = waitersWake.then(() => {
        for (const wake of waiting) wake()
        waiting.clear()
      })
      return change
    },
    setState: (id, state) =>
      server.change({ subjectId: id, state: { ...(server.subjects.get(id) ?? active()), ...state } }),
    stop: () => listener.stop(true),
    [Symbol.asyncDispose]: async () => {
      for (const wake of waiting) wake()
      await listener.stop(true)
    },
  }
  return server
}

/** Waits for something to become true. @throws Error when it does not within 3 s. */
export const until = async (isTrue: () => boolean): Promise<void> => {
  for (const start = performance.now(); !isTrue(); await Bun.sleep(2)) {
    if (performance.now() - start > 3_000) throw new Error('It did not become true in time')
  }
}
