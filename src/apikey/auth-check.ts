import { type Context, Elysia, status, t } from 'elysia'
import { Failure } from '../lib/failure.ts'
import { isPermission } from '../lib/permission.ts'
import type { Problems } from '../lib/problem.ts'
import { factsOf } from '../lib/request.ts'
import type { Apikey } from './plugin.ts'
import type { Principal } from './principal.ts'
import { problems } from './problems.ts'
import { mostAsked } from './verify-model.ts'

/** Characters of a header of ours: proxies take 4 KiB for the whole head of an answer, nginx for one. */
const longestHeader = 2_048

const invalid = (field: string, rule: string): Failure =>
  new Failure('invalid_request', { errors: [{ field, rule }] })

const parametersOf = ({ url }: Request): [name: string, value: string][] => {
  const start = url.indexOf('?')
  return start === -1 ? [] : [...new URLSearchParams(url.slice(start))]
}

/**
 * The permissions in `?permission=`, which may be there more than once and each time be a list. What is not understood
 * is refused, and never left out: it stands in the settings of a proxy, where a slip would let everybody in.
 *
 * @throws Failure `invalid_request`
 */
const askedPermissions = (request: Request): readonly string[] => {
  const asked = new Set<string>()
  for (const [name, value] of parametersOf(request)) {
    if (name === 'style') {
      if (value !== 'nginx') throw invalid(name, 'must be nginx')
    } else if (name === 'permission') {
      for (const permission of value.split(',')) {
        if (!isPermission(permission)) throw invalid(name, 'must be resource:action, or several with commas')
        asked.add(permission)
      }
    } else {
      throw invalid(name.slice(0, 100), 'is not known')
    }
  }
  if (asked.size > mostAsked) throw invalid('permission', `may name ${mostAsked} permissions`)
  return [...asked]
}

/** Whether the answer goes to `auth_request` of nginx. */
const isForNginx = (request: Request): boolean =>
  parametersOf(request).some(([name, value]) => name === 'style' && value === 'nginx')

/** As much of a list as fits, in whole words: who reads it may find less than there is, and never more. */
const fitting = (words: readonly string[]): string => {
  const text = words.join(' ')
  return text.length <= longestHeader ? text : text.slice(0, text.lastIndexOf(' ', longestHeader))
}

/** Ids of an issuer may hold anything; of a header, other than visible ASCII is percent-encoded. */
const printable = (id: string): string =>
  id.replaceAll(/[^\x21-\x24\x26-\x7e]/gu, character =>
    character.isWellFormed() ? encodeURIComponent(character) : '%EF%BF%BD',
  )

/** All of them each time, empty where there is nothing to say: of one that is missing Caddy passes on its own variable. */
const headersOf = ({ ownerId, kind, keyId = '', userId = '', clientId = '', permissions }: Principal) => ({
  'x-auth-owner': printable(ownerId),
  'x-auth-kind': kind,
  'x-auth-key': printable(keyId),
  'x-auth-user': printable(userId),
  'x-auth-client': printable(clientId),
  'x-auth-permissions': fitting(permissions),
})

const inAscii = (json: string): string =>
  json.replaceAll(/[^\x20-\x7e]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** The body of a problem as a header: without the fields that it names, should they be too many. */
const problemHeader = (problem: string): string => {
  const whole = inAscii(problem)
  if (whole.length <= longestHeader) return whole
  const { errors: _, ...rest }: Record<string, unknown> = JSON.parse(problem)
  return inAscii(JSON.stringify(rest))
}

/**
 * `auth_request` of nginx passes on 401 and 403; anything else that is no success it calls an error of the server. So
 * what another status says goes into headers, with the problem itself, of which it would not read the body.
 */
const forNginx = ({ request, set }: Pick<Context, 'request' | 'set'>, problem: string): void => {
  const refused = Number(set.status)
  Object.assign(set.headers, {
    'x-auth-status': String(refused),
    'x-auth-code': factsOf(request).code ?? 'internal_error',
    'x-auth-problem': problemHeader(problem),
  })
  set.status = refused === 401 ? 401 : 403
}

/** The route of {@link authCheck}, in an app whose problems have codes beside ours. */
export const authCheckRoute = <Permission extends string, Code extends string>({
  auth,
  problems: installed,
}: {
  readonly auth: Apikey<Permission>
  readonly problems: Problems<Code>
}) =>
  new Elysia({ name: 'latchkey/auth-check', tags: ['Reverse proxies'] })
    .use(installed)
    .use(auth)
    .get(
      '/auth/check',
      ({ principal, set }) => {
        Object.assign(set.headers, headersOf(principal), { 'cache-control': 'no-store' })
        return status(204, undefined)
      },
      {
        permission: 'any',
        asked: askedPermissions,
        query: t.Object({
          permission: t.Optional(
            t.Union([t.String(), t.Array(t.String())], {
              description: 'What the caller must hold: one, or several with commas or repeated, all of them',
            }),
          ),
          style: t.Optional(t.String({ description: '`nginx` for its `auth_request`' })),
        }),
        mapResponse: ({ request, set, response }) => {
          // Each error hook that has no answer comes by here as well.
          if (typeof response !== 'string' || !(Number(set.status) >= 400) || !isForNginx(request)) return
          forNginx({ request, set }, response)
        },
        response: { 204: t.Void() },
        detail: {
          summary: 'Ask whether a request may pass, for reverse proxies',
          description:
            'The credential is that of the request that is asked about. 204 with `X-Auth-Owner`, `X-Auth-Kind`, `X-Auth-Key`, `X-Auth-User`, `X-Auth-Client` and `X-Auth-Permissions`, or the refusal. With `style=nginx` a refusal is 401 or 403, and `X-Auth-Status`, `X-Auth-Code` and `X-Auth-Problem` say what it is.',
        },
      },
    )

/**
 * `GET /auth/check`, by which a reverse proxy asks about each request before it passes it on to a service that can't
 * use the plugin. Mounted once in an app.
 */
export const authCheck = <Permission extends string>(auth: Apikey<Permission>) =>
  authCheckRoute({ auth, problems: problems() })
