import type { AsyncCommand } from 'fast-check'
import type { Answer } from '../support/http.ts'
import type { State, Subject } from './state.ts'
import type { World } from './world.ts'

export type Command = AsyncCommand<State, World>

/** A command by name: `pick` finds what it is done to, by the model alone; without anything it is not done. */
export const command = <Target>(
  name: string,
  pick: (state: State) => Target | null,
  act: (world: World, target: Target) => Promise<void>,
): Command => ({
  check: state => pick(state) !== null,
  run: async (state, world) => {
    const target = pick(state)
    if (target === null) return
    world.done.push(`${world.now().toFixed()} ${name}`)
    await act(world, target)
  },
  toString: () => name,
})

/** The one at an index that wraps around, null of none. */
export const at = <Item>(list: readonly Item[], index: number): Item | null =>
  list.length === 0 ? null : (list[index % list.length] ?? null)

/** @throws Error when an answer of a service that is up and knows is another than expected. */
export const expectAnswer = (what: string, { status, text }: Answer, ...wanted: readonly number[]): void => {
  if (!wanted.includes(status)) throw new Error(`${what} is answered with ${status}: ${text.slice(0, 300)}`)
}

export type Named = readonly [id: string, subject: Subject]

/** Users or service accounts that `login` knows and that are in one of these states. */
export const subjectsOf = (
  { login }: State,
  kind: Subject['kind'] | 'any',
  ...statuses: readonly Subject['status'][]
): Named[] =>
  [...login.subjects].filter(
    ([, subject]) => (kind === 'any' || subject.kind === kind) && statuses.includes(subject.status),
  )

/** Nothing to do while `login` is down. */
export const whileLoginIsUp =
  <Target>(pick: (state: State) => Target | null) =>
  (state: State): Target | null =>
    state.isLoginUp ? pick(state) : null
