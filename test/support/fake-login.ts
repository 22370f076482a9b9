import { freePort } from './ports.ts'

/** Stands in for `login` where that would have to be broken, or in other hands. */
export type FakeLogin = {
  readonly url: string
  /** How many requests came since the last change, and to which paths. */
  readonly paths: readonly string[]
  /** Answers like this from now on. */
  answerWith(answer: (request: Request) => Response | Promise<Response>): void
  stop(): Promise<void>
}

export const startFakeLogin = async (): Promise<FakeLogin> => {
  let answer: (request: Request) => Response | Promise<Response> = () => new Response(null, { status: 404 })
  const paths: string[] = []
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: await freePort(),
    idleTimeout: 60,
    fetch: request => {
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
