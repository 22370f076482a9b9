import { type Treaty, treaty } from '@elysiajs/eden'
import type { ServiceApp } from './app.ts'

export type ServiceClientOptions = {
  /** Headers of every request, such as `authorization` or `x-api-key`. */
  readonly headers?: Record<string, string>
  /** Stands in for `fetch`: for time-outs and limits, or for tests. */
  readonly fetcher?: typeof fetch
}

/**
 * A typed client of `service-a`. Ids and names that others sent must be checked before they become part of a path:
 * Eden encodes nothing there. Times, also those inside documents, stay the text that they are.
 */
export const createServiceAClient = (
  url: string,
  { headers, fetcher }: ServiceClientOptions = {},
): Treaty.Create<ServiceApp> =>
  treaty<ServiceApp>(url, {
    parseDate: false,
    fetch: { redirect: 'error' },
    ...(headers === undefined ? {} : { headers }),
    ...(fetcher === undefined ? {} : { fetcher }),
  })
