import fc from 'fast-check'
import type { Answer, CallOptions } from '../support/http.ts'
import { textOf } from '../support/json.ts'
import { at, type Command, command, subjectsOf } from './command.ts'
import { type Key, type Permission, permissions, permissionsOf, type State, type Subject } from './state.ts'
import type { World } from './world.ts'

/** Keys are managed at the service, by the administrator, whom no command touches. */

type Named = readonly [id: string, key: Key]

/** Keys of which everything is known, and that could still be used or be made usable. */
const liveKeys = ({ keys, login }: State): Named[] =>
  [...keys].filter(([, { isRevoked, isReplaced, isUnsure, owner }]) => {
    const status = login.subjects.get(owner)?.status
    return !(isRevoked || isReplaced || isUnsure || status === undefined || status === 'deleted')
  })

const whileServiceIsUp =
  <Target>(pick: (state: State) => Target | null) =>
  (state: State): Target | null =>
    state.isServiceUp ? pick(state) : null

/**
 * Changes a key. What the service can not do without `login` it may refuse while that is out of reach or has just
 * changed something; then nothing has changed.
 */
const manageKey = (
  world: World,
  path: string,
  options: CallOptions,
  apply: (answer: Answer) => void,
): Promise<void> => {
  const mayRefuse = !world.isSettled()
  return world.change(
    () => world.site.use(path, { token: world.site.root.accessToken, ...options }),
    answer => {
      if (answer.status >= 200 && answer.status < 300) apply(answer)
      // After a failure service-a leaves login alone for a moment.
      else if (!mayRefuse && answer.status < 500) {
        throw new Error(
          `${options.method ?? 'POST'} ${path} is answered with ${answer.status}: ${answer.text.slice(0, 300)}`,
        )
      }
    },
  )
}

const addKey = (world: World, { body }: Answer, key: Pick<Key, 'owner' | 'permissions'>): void => {
  const keyId = textOf(body, 'id')
  world.state.keys.set(keyId, {
    ...key,
    isRevoked: false,
    isEnabled: true,
    isReplaced: false,
    isUnsure: false,
  })
  world.add({ kind: 'key', keyId, text: textOf(body, 'key') })
}

export const makeKey = (
  world: World,
  [owner, subject]: readonly [string, Subject],
  wanted: readonly Permission[],
): Promise<void> => {
  const grantable = permissionsOf(subject)
  const given = wanted.filter(permission => grantable.includes(permission))
  const json = { name: 'model', ownerId: owner, permissions: given }
  return manageKey(world, '/api-keys', { json }, answer =>
    addKey(world, answer, { owner, permissions: given }),
  )
}

const change = (
  name: string,
  index: fc.Arbitrary<number>,
  act: (world: World, named: Named) => Promise<void>,
) =>
  index.map(i =>
    command(
      `${name} key ${i}`,
      whileServiceIsUp(state => at(liveKeys(state), i)),
      act,
    ),
  )

const setEnabled =
  (enabled: boolean) =>
  (world: World, [id, key]: Named): Promise<void> =>
    manageKey(world, `/api-keys/${id}`, { method: 'PATCH', json: { enabled } }, () => {
      key.isEnabled = enabled
    })

export const keyCommands = (index: fc.Arbitrary<number>): fc.Arbitrary<Command>[] => {
  const make = fc.tuple(index, fc.subarray([...permissions], { minLength: 1 })).map(([i, wanted]) =>
    command(
      `make key of ${i} [${wanted.join(' ')}]`,
      whileServiceIsUp(state => (state.isLoginUp ? at(subjectsOf(state, 'any', 'active'), i) : null)),
      (world, owner) => makeKey(world, owner, wanted),
    ),
  )
  const revoke = change('revoke', index, (world, [id, key]) =>
    manageKey(world, `/api-keys/${id}`, { method: 'DELETE' }, () => {
      key.isRevoked = true
    }),
  )
  const rotate = index.map(i =>
    command(
      `rotate key ${i}`,
      whileServiceIsUp(state =>
        at(
          liveKeys(state).filter(
            ([, { isEnabled, owner }]) => isEnabled && state.login.subjects.get(owner)?.status === 'active',
          ),
          i,
        ),
      ),
      (world, [id, key]) =>
        manageKey(world, `/api-keys/${id}/rotate`, { json: { graceSeconds: 0 } }, answer => {
          key.isReplaced = true
          addKey(world, answer, key)
        }),
    ),
  )
  const transfer = fc.tuple(index, index).map(([i, j]) =>
    command(
      `transfer key ${i} to ${j}`,
      whileServiceIsUp(state => {
        const named = at(liveKeys(state), i)
        if (named === null) return null
        const [id, key] = named
        const receivers = subjectsOf(state, 'any', 'active').filter(
          ([receiver, subject]) =>
            receiver !== key.owner &&
            key.permissions.every(permission => permissionsOf(subject).includes(permission)),
        )
        const receiver = at(receivers, j)
        return receiver === null ? null : { id, key, to: receiver[0] }
      }),
      (world, { id, key, to }) =>
        manageKey(world, '/api-keys/transfer', { json: { from: key.owner, to, keyIds: [id] } }, () => {
          key.owner = to
          world.forget(id)
        }),
    ),
  )
  return [
    make,
    make,
    revoke,
    rotate,
    transfer,
    change('disable', index, setEnabled(false)),
    change('enable', index, setEnabled(true)),
  ]
}
