import { type Treaty, treaty } from '@elysiajs/eden'
import type { LoginApp } from './app.ts'

export type LoginClientOptions = {
  /** Headers of every request, such as `authorization`. */
  readonly headers?: Record<string, string>
  /** Stands in for `fetch`: for time-outs and limits, or for tests. */
  readonly fetcher?: typeof fetch
}

/**
 * A typed client of `login`. Ids that others sent must be checked before they become part of a path: Eden encodes
 * nothing there. Times stay the text that they are.
 */
export const createLoginClient = (
  url: string,
  { headers, fetcher }: LoginClientOptions = {},
): Treaty.Create<LoginApp> =>
  treaty<LoginApp>(url, {
    parseDate: false,
    fetch: { redirect: 'error' },
    ...(headers === undefined ? {} : { headers }),
    ...(fetcher === undefined ? {} : { fetcher }),
  })
