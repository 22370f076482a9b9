import { Elysia, status, t } from 'elysia'
import { decodeCursor, encodeCursor } from '../lib/cursor.ts'
import { limitOf } from '../lib/page-query.ts'
import { auditContextOf } from '../lib/request.ts'
import type { Users } from '../userdb/index.ts'
import type { LoginGuard } from './guard.ts'
import {
  ChangeOwnBody,
  ChangeUserBody,
  CreateUserBody,
  ListQuery,
  toUserView,
  UserList,
  UserView,
} from './model.ts'
import type { LoginProblems } from './problems.ts'

export type UserRoutesOptions = {
  readonly problems: LoginProblems
  readonly guard: LoginGuard
  readonly users: Users
}

/** Manage User: one's own account for everyone, all accounts for administrators. */
export const userRoutes = ({ problems, guard, users }: UserRoutesOptions) =>
  new Elysia({ name: 'login/users', prefix: '/users', tags: ['Users'] })
    .use(problems)
    .use(guard)
    .get('/me', async ({ principal }) => toUserView(await users.get(principal.userId)), {
      permission: 'any',
      response: { 200: UserView },
      detail: { summary: 'Read one’s own profile' },
    })
    .patch(
      '/me',
      async ({ principal, body, request, server }) =>
        toUserView(
          await users.update(principal.userId, body, auditContextOf(request, server, principal.userId)),
        ),
      {
        permission: 'any',
        body: ChangeOwnBody,
        response: { 200: UserView },
        detail: {
          summary: 'Change one’s own profile',
          description: 'Absent keeps, null clears, a value sets.',
        },
      },
    )
    .delete(
      '/me',
      async ({ principal, request, server }) => {
        await users.remove(principal.userId, auditContextOf(request, server, principal.userId))
        return status(204, undefined)
      },
      { permission: 'any', response: { 204: t.Void() }, detail: { summary: 'Close one’s own account' } },
    )
    .get(
      '',
      async ({ query: { limit, cursor, ...filter } }) => {
        const after = cursor === undefined ? null : decodeCursor(cursor)
        const { items, next } = await users.list({ ...filter, limit: limitOf({ limit }), after })
        return { items: items.map(toUserView), nextCursor: next === null ? null : encodeCursor(next) }
      },
      {
        permission: 'users:manage',
        query: ListQuery,
        response: { 200: UserList },
        detail: { summary: 'List users, oldest first' },
      },
    )
    .post(
      '',
      async ({ principal, body, request, server, set }) => {
        const user = await users.create(body, auditContextOf(request, server, principal.userId))
        set.headers.location = `/users/${user.id}`
        return status(201, toUserView(user))
      },
      {
        permission: 'users:manage',
        body: CreateUserBody,
        response: { 201: UserView },
        detail: { summary: 'Make a user' },
      },
    )
    .get('/:id', async ({ params }) => toUserView(await users.get(params.id)), {
      permission: 'users:manage',
      response: { 200: UserView },
      detail: { summary: 'Read a user' },
    })
    .patch(
      '/:id',
      async ({ principal, params, body, request, server }) =>
        toUserView(await users.update(params.id, body, auditContextOf(request, server, principal.userId))),
      {
        permission: 'users:manage',
        body: ChangeUserBody,
        response: { 200: UserView },
        detail: {
          summary: 'Change a user’s name or roles',
          description: 'Absent keeps, null clears, a value sets.',
        },
      },
    )
    .delete(
      '/:id',
      async ({ principal, params, request, server }) => {
        await users.remove(params.id, auditContextOf(request, server, principal.userId))
        return status(204, undefined)
      },
      { permission: 'users:manage', response: { 204: t.Void() }, detail: { summary: 'Delete a user' } },
    )
    .post(
      '/:id/disable',
      async ({ principal, params, request, server }) =>
        toUserView(await users.disable(params.id, auditContextOf(request, server, principal.userId))),
      {
        permission: 'users:manage',
        response: { 200: UserView },
        detail: { summary: 'Disable a user and end their sessions' },
      },
    )
    .post(
      '/:id/enable',
      async ({ principal, params, request, server }) =>
        toUserView(await users.enable(params.id, auditContextOf(request, server, principal.userId))),
      { permission: 'users:manage', response: { 200: UserView }, detail: { summary: 'Enable a user again' } },
    )
