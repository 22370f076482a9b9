import { toOpenAPISchema } from '@elysiajs/openapi'
import { getPossiblePath } from '@elysiajs/openapi/openapi'
import { Type, TypeGuard } from '@sinclair/typebox'
import { type AnyElysia, Elysia, t } from 'elysia'
import { problemSchema } from './problem.ts'
import { type Requirement, requirementsOf, sayNeed, showNeed, waysToMeet } from './requirement.ts'
import { version } from './version.ts'

export type ApiDescription = {
  readonly title: string
  readonly description: string
  /** Whether API keys are taken beside access tokens. */
  readonly apiKeys: boolean
  /** Whether there are routes that take forms, and speak as RFC 6749 has it (`x-oauth`). */
  readonly oauth?: boolean
  /** The app that is described, asked for at the first request: it is not whole before. */
  readonly app: () => AnyElysia
  /** Every code that a problem of this app can have. */
  readonly codes: readonly string[]
}

type Operation = {
  'x-permission'?: unknown
  'x-credential'?: string
  'x-oauth'?: boolean
  description?: string
  security?: object[]
  responses?: Record<string, unknown>
}
type Paths = Record<string, Record<string, Operation>>

const oauthErrorSchema = Type.Object(
  { error: Type.String({ description: 'Stable: what programs compare' }), error_description: Type.String() },
  { title: 'OAuthError', description: 'An error as of RFC 6749 section 5.2' },
)

/**
 * What a caller must bring and hold: each way to do so is a requirement of its own, with the permissions as roles
 * (OpenAPI 3.1 section 4.8.30). A route that no guard of ours stands before may say by itself how callers authenticate.
 */
const securityOf = (operation: Operation, needed: readonly Requirement[], apiKeys: boolean): object[] => {
  if (needed.length === 0) return operation.security ?? []
  const schemes = apiKeys && operation['x-credential'] !== 'jwt' ? ['accessToken', 'apiKey'] : ['accessToken']
  return waysToMeet(needed).flatMap(permissions => schemes.map(scheme => ({ [scheme]: permissions })))
}

/** What is enforced goes before what a description says of it. */
const withNeed = (
  { 'x-permission': _, description, ...operation }: Operation,
  needed: readonly Requirement[],
): Operation => {
  const words = sayNeed(needed)
  const sentences = [description, words && `Needs ${words}.`].filter(Boolean).join('\n\n')
  return {
    ...operation,
    ...(needed.length === 0 ? {} : { 'x-permission': showNeed(needed) }),
    ...(sentences === '' ? {} : { description: sentences }),
  }
}

/** Errors are alike for every status, so they are said once. 204 has no content to describe. */
const withErrors = (
  responses: Record<string, unknown> = {},
  errors: 'Problem' | 'OAuthError',
): Record<string, unknown> => ({
  ...Object.fromEntries(
    Object.entries(responses)
      .filter(([status]) => Number(status) < 400)
      .map(([status, response]) => [status, status === '204' ? { description: 'Done' } : response]),
  ),
  default: { $ref: `#/components/responses/${errors}` },
})

type Known = { readonly needed: readonly Requirement[]; readonly members: { requestBody?: object } }

/**
 * What only the routes themselves tell, by method and path: what their guards enforce, and the bodies that they take,
 * which are JSON and nothing else. @elysiajs/openapi describes none where a route reads its body by a function of its
 * own, as all of ours do.
 */
const knownOf = (app: AnyElysia): Map<string, Known> =>
  new Map(
    app.routes.flatMap(({ method, path, hooks }) => {
      const schema: unknown = hooks.body
      const members = TypeGuard.IsSchema(schema)
        ? {
            requestBody: {
              required: !TypeGuard.IsOptional(schema),
              content: { 'application/json': { schema } },
            },
          }
        : {}
      const known = { needed: requirementsOf(hooks), members }
      return getPossiblePath(path).map((possible): [string, Known] => [
        `${method.toLowerCase()} ${possible.replaceAll(/:([^/]+)/g, '{$1}')}`,
        known,
      ])
    }),
  )

/** OpenAPI 3.1, made from the routes themselves. */
const describe = ({ title, description, apiKeys, oauth = false, app, codes }: ApiDescription) => {
  const { paths, components } = toOpenAPISchema(app(), { staticFile: false }, undefined, undefined, '3.1.0')
  const operations: Paths = JSON.parse(JSON.stringify(paths))
  const known = knownOf(app())
  return {
    openapi: '3.1.0',
    info: { title, description, version },
    paths: Object.fromEntries(
      Object.entries(operations).map(([path, methods]) => [
        path,
        Object.fromEntries(
          Object.entries(methods).map(([method, { 'x-oauth': isOAuth = false, ...operation }]) => {
            const { needed = [], members } = known.get(`${method} ${path}`) ?? known.get(`all ${path}`) ?? {}
            return [
              method,
              {
                ...withNeed(operation, needed),
                ...members,
                security: securityOf(operation, needed, apiKeys),
                responses: withErrors(operation.responses, isOAuth ? 'OAuthError' : 'Problem'),
              },
            ]
          }),
        ),
      ]),
    ),
    components: {
      schemas: {
        ...components.schemas,
        Problem: problemSchema(codes),
        ...(oauth ? { OAuthError: oauthErrorSchema } : {}),
      },
      responses: {
        Problem: {
          description: 'Any error, as of RFC 9457',
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        },
        ...(oauth
          ? {
              OAuthError: {
                description: 'Any error, as of RFC 6749 section 5.2',
                content: { 'application/json': { schema: { $ref: '#/components/schemas/OAuthError' } } },
              },
            }
          : {}),
      },
      securitySchemes: {
        accessToken: { type: 'http', scheme: 'bearer', bearerFormat: 'at+jwt' },
        ...(apiKeys ? { apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' } } : {}),
        ...(oauth
          ? {
              client: {
                type: 'http',
                scheme: 'basic',
                description: 'Id and secret of a service account, each form-encoded (RFC 6749 section 2.3.1)',
              },
            }
          : {}),
      },
    },
  }
}

/**
 * `/openapi.json`, open to anyone. `x-permission` on an operation says what a caller must hold: one permission,
 * `{ allOf }` or `{ anyOf }`, or `any` for nothing in particular; `x-credential: jwt` that an API key will not do. There
 * is no page: it would load scripts from elsewhere.
 */
export const apiDescription = (options: ApiDescription) => {
  let document: ReturnType<typeof describe> | null = null
  return new Elysia({ name: 'latchkey/openapi', tags: ['Description'] }).get(
    '/openapi.json',
    () => {
      document ??= describe(options)
      return document
    },
    { response: { 200: t.Unknown() }, detail: { summary: 'This document' } },
  )
}
