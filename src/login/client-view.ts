import { type Static, Type } from '@sinclair/typebox'
import { isoTime, isoTimeOrNull } from '../lib/clock.ts'
import { type Client, ClientName, ClientScopes, ClientStatus } from './client-model.ts'
import { maxGraceSeconds } from './client-registry.ts'

const strict = { additionalProperties: false } as const
const Nullable = <Schema extends ReturnType<typeof Type.String>>(schema: Schema) =>
  Type.Union([schema, Type.Null()])
const Time = Type.String({ format: 'date-time' })

const members = {
  id: Type.String(),
  name: Type.String(),
  scopes: Type.Array(Type.String()),
  status: ClientStatus,
  createdBy: Nullable(Type.String()),
  createdAt: Time,
  updatedAt: Time,
  secrets: Type.Array(Type.Object({ id: Type.String(), createdAt: Time, expiresAt: Nullable(Time) }), {
    description: 'Those that are good now, without their text',
  }),
}

/** A service account on the wire: times in ISO 8601. */
export const ClientView = Type.Object(members, { title: 'ServiceAccount' })
export type ClientView = Static<typeof ClientView>

export const ClientWithSecretView = Type.Object(
  { ...members, secret: Type.String({ description: 'Told this once' }) },
  { title: 'ServiceAccountWithSecret' },
)

export const ClientList = Type.Object({ items: Type.Array(ClientView), nextCursor: Nullable(Type.String()) })

/** Every member is named, so that a new column stays inside until it is let out. */
export const toClientView = ({
  id,
  name,
  scopes,
  status,
  createdBy,
  createdAt,
  updatedAt,
  secrets,
}: Client): ClientView => ({
  id,
  name,
  scopes: [...scopes],
  status,
  createdBy,
  createdAt: isoTime(createdAt),
  updatedAt: isoTime(updatedAt),
  secrets: secrets.map(secret => ({
    id: secret.id,
    createdAt: isoTime(secret.createdAt),
    expiresAt: isoTimeOrNull(secret.expiresAt),
  })),
})

export const CreateClientBody = Type.Object({ name: ClientName, scopes: ClientScopes }, strict)

export const ChangeClientBody = Type.Object(
  { name: Type.Optional(ClientName), scopes: Type.Optional(ClientScopes) },
  strict,
)

export const RotateClientBody = Type.Optional(
  Type.Object(
    {
      graceSeconds: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: maxGraceSeconds,
          description: 'How long the secret before is good as well; a day when absent, 0 ends it at once',
        }),
      ),
    },
    strict,
  ),
)
