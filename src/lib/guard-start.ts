import type { AnyElysia } from 'elysia'
import { requirementsOf } from './requirement.ts'

/** What is wrong with a guarded route that says nothing of permissions. */
export const unnamed = (method: string, path: string): string =>
  `${method} ${path} is guarded and names no permission; say permission: 'any' if every caller may`

/**
 * Stops an app that has routes which can't be guarded as they are; `hook` is the one that is on every guarded route.
 *
 * @throws Error that names each of them
 */
export const checkGuarded = (app: AnyElysia, hook: unknown): void => {
  const problems = app.routes.flatMap(({ method, path, handler, hooks }) => {
    const isGuarded = [hooks.beforeHandle].flat().some(found => found?.fn === hook)
    if (!isGuarded) return []
    if (requirementsOf(hooks).length === 0) return [unnamed(method, path)]
    // Without ahead-of-time compilation Elysia runs no hook for what is mounted.
    if (hooks.config?.mount !== undefined && app.config.aot === false) {
      return [`${method} ${path} is mounted, which can't be guarded with aot: false`]
    }
    // Elysia answers these without running any hook once an app has an afterHandle.
    return typeof handler === 'function'
      ? []
      : [`${method} ${path} is guarded, so its handler must be a function`]
  })
  if (problems.length === 0) return
  // The server listens already: Elysia starts it before it tells.
  app.server?.stop(true)
  throw new Error(`This app can't start:\n${problems.map(problem => `- ${problem}`).join('\n')}`)
}
