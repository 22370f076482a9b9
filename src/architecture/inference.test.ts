import { describe, expect, test } from 'bun:test'
import type { AnyElysia } from 'elysia'
import { createLogin, createService } from './apps.ts'

/*
 * Elysia reads the text of hooks and handlers to find what they need, and parses that for each request. A hook that
 * hands its context on whole makes it parse cookies, query and headers on every route after it.
 */

const compiled = (app: AnyElysia): Map<string, string> =>
  new Map(app.routes.map(({ method, path, compile }) => [`${method} ${path}`, String(compile())] as const))

const apps: readonly [string, () => AnyElysia][] = [
  ['login', () => createLogin().app],
  ['service-a', () => createService().app],
]

describe.each(apps)('no route of %s', (_, create) => {
  test('parses cookies, which nobody here reads', () => {
    const found = [...compiled(create())].filter(([, text]) => /cookie/i.test(text)).map(([route]) => route)
    expect(found).toEqual([])
  })

  test('makes an object of all headers', () => {
    const found = [...compiled(create())]
      .filter(([, text]) => /c\.headers\s*=|headers\.toJSON/.test(text))
      .map(([route]) => route)
    expect(found).toEqual([])
  })
})
