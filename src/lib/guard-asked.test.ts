/** Permissions that a request itself names, beside those of its route. */
import { expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import { Failure } from './failure.ts'
import { createProblems } from './problem.ts'
import { createTestGuard, guardProblems } from './test-guard.ts'
import { serve } from './test-serve.ts'

const asked = ({ headers }: Request): readonly string[] => {
  const named = headers.get('x-needs')
  if (named === 'nonsense') throw new Failure('invalid_request', {})
  return named === null ? [] : named.split(' ')
}

const start = (order: 'permission first' | 'asked first') => {
  const { guard } = createTestGuard()
  let runs = 0
  const run = () => {
    runs += 1
    return 'ran'
  }
  const app = serve(
    new Elysia()
      .use(createProblems({ table: guardProblems, onUnexpected: () => {} }))
      .use(guard)
      .get(
        '/',
        run,
        order === 'permission first'
          ? { permission: 'notes:read', asked }
          : { asked, permission: 'notes:read' },
      ),
  )
  const ask = async (caller: string, needs?: string) => {
    const headers = { 'x-caller': caller, ...(needs === undefined ? {} : { 'x-needs': needs }) }
    const answer = await fetch(app.url, { headers })
    return [answer.status, runs]
  }
  return { app, ask }
}

test('are needed all of them, beside that of the route, or the handler does not run', async () => {
  const { app, ask } = start('permission first')
  await using _ = app
  expect(await ask('key notes:read', 'notes:read notes:write')).toEqual([403, 0])
  expect(await ask('user notes:read', 'notes:write')).toEqual([403, 0])
  expect(await ask('key notes:write', 'notes:write')).toEqual([403, 0])
  expect(await ask('bad', 'notes:read')).toEqual([401, 0])
  expect(await ask('key notes:read', 'nonsense')).toEqual([422, 0])
  expect(await ask('key notes:read')).toEqual([200, 1])
  expect(await ask('key notes:read notes:write', 'notes:read notes:write')).toEqual([200, 2])
})

test('let nobody in where they are asked for before anybody was judged', async () => {
  const { app, ask } = start('asked first')
  await using _ = app
  expect(await ask('key notes:read notes:write', 'notes:read')).toEqual([500, 0])
})
