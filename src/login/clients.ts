import { Elysia, status, t } from 'elysia'
import { decodeCursor, encodeCursor } from '../lib/cursor.ts'
import { Failure } from '../lib/failure.ts'
import { limitOf, pageQuery } from '../lib/page-query.ts'
import { auditContextOf } from '../lib/request.ts'
import type { Client } from './client-model.ts'
import type { ClientRegistry } from './client-registry.ts'
import type { ClientErrorCode, ClientStore } from './client-store.ts'
import {
  ChangeClientBody,
  ClientList,
  ClientView,
  ClientWithSecretView,
  CreateClientBody,
  RotateClientBody,
  toClientView,
} from './client-view.ts'
import type { LoginGuard } from './guard.ts'
import type { LoginProblems } from './problems.ts'

export type ClientRoutesOptions = {
  readonly problems: LoginProblems
  readonly guard: LoginGuard
  readonly store: ClientStore
  readonly registry: ClientRegistry
}

const permission = 'clients:manage'

/** @throws Failure `client_not_found` */
const required = (client: Client | null): Client => {
  if (client === null) throw new Failure<ClientErrorCode>('client_not_found')
  return client
}

/** Manage Client: service accounts, for administrators. */
export const clientRoutes = ({ problems, guard, store, registry }: ClientRoutesOptions) =>
  new Elysia({ name: 'login/clients', prefix: '/clients', tags: ['Service accounts'] })
    .use(problems)
    .use(guard)
    .get(
      '',
      async ({ query: { limit, cursor } }) => {
        const after = cursor === undefined ? null : decodeCursor(cursor)
        const { items, next } = await store.list({ limit: limitOf({ limit }), after })
        return { items: items.map(toClientView), nextCursor: next === null ? null : encodeCursor(next) }
      },
      {
        permission,
        query: t.Object(pageQuery),
        response: { 200: ClientList },
        detail: { summary: 'List service accounts, oldest first' },
      },
    )
    .post(
      '',
      async ({ principal, body, request, server, set }) => {
        const made = await registry.create(body, auditContextOf(request, server, principal.userId))
        set.headers.location = `/clients/${made.client.id}`
        set.headers['cache-control'] = 'no-store'
        return status(201, { ...toClientView(made.client), secret: made.secret })
      },
      {
        permission,
        body: CreateClientBody,
        response: { 201: ClientWithSecretView },
        detail: {
          summary: 'Make a service account',
          description: 'Its secret is in this answer and never again.',
        },
      },
    )
    .get('/:id', async ({ params }) => toClientView(required(await store.find(params.id))), {
      permission,
      response: { 200: ClientView },
      detail: { summary: 'Read a service account' },
    })
    .patch(
      '/:id',
      async ({ principal, params, body, request, server }) =>
        toClientView(
          await registry.update(params.id, body, auditContextOf(request, server, principal.userId)),
        ),
      {
        permission,
        body: ChangeClientBody,
        response: { 200: ClientView },
        detail: {
          summary: 'Change a service account’s name or scopes',
          description: 'Absent keeps, a value sets. Tokens that live lose the scopes that are taken away.',
        },
      },
    )
    .delete(
      '/:id',
      async ({ principal, params, request, server }) => {
        await store.remove(params.id, auditContextOf(request, server, principal.userId))
        return status(204, undefined)
      },
      { permission, response: { 204: t.Void() }, detail: { summary: 'Delete a service account' } },
    )
    .post(
      '/:id/disable',
      async ({ principal, params, request, server }) =>
        toClientView(await store.disable(params.id, auditContextOf(request, server, principal.userId))),
      { permission, response: { 200: ClientView }, detail: { summary: 'Disable a service account' } },
    )
    .post(
      '/:id/enable',
      async ({ principal, params, request, server }) =>
        toClientView(await store.enable(params.id, auditContextOf(request, server, principal.userId))),
      { permission, response: { 200: ClientView }, detail: { summary: 'Enable a service account again' } },
    )
    .post(
      '/:id/rotate',
      async ({ principal, params, body, request, server, set }) => {
        const context = auditContextOf(request, server, principal.userId)
        const { client, secret } = await registry.rotate(params.id, body?.graceSeconds, context)
        set.headers['cache-control'] = 'no-store'
        return status(201, { ...toClientView(client), secret })
      },
      {
        permission,
        body: RotateClientBody,
        response: { 201: ClientWithSecretView },
        detail: {
          summary: 'Give a service account another secret',
          description:
            'The secret is in this answer and never again. The one before is good for `graceSeconds` more; one before that ends at once.',
        },
      },
    )
