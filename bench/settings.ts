import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** The service that the tokens of the benchmark are meant for. */
export const audience = 'bench'

/** What `servers/latchkey.ts` is told. */
export const ServerSettings = Type.Object({
  /** Path of a database that holds the keys. */
  database: Type.String(),
  issuer: Type.String(),
  /** Signs tokens with HS256, where there is no `jwksUrl`. */
  secret: Type.String(),
  jwksUrl: Type.Optional(Type.String()),
  /** How many verified credentials are kept; the plugin's own default when absent. */
  cacheEntries: Type.Optional(Type.Integer()),
  /** Whether failing callers are told why however often they fail. Otherwise as the plugin has it: 300 a minute. */
  tellsAllFailures: Type.Optional(Type.Boolean()),
})
export type ServerSettings = Static<typeof ServerSettings>

export const readSettings = (text: string): ServerSettings => Value.Parse(ServerSettings, JSON.parse(text))
