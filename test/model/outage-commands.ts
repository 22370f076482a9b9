import fc from 'fast-check'
import { type Command, command } from './command.ts'
import type { State } from './state.ts'
import type { World } from './world.ts'

/** What happens to machines and wires, and to databases that are put back. */

export const startLogin = (world: World): Promise<void> =>
  world.connect(
    () => world.site.login.restart(),
    () => {
      world.state.isLoginUp = true
    },
  )

export const startService = (world: World): Promise<void> =>
  world.connect(
    () => world.site.service.restart(),
    () => {
      world.state.isServiceUp = true
    },
  )

export const mend = (world: World): Promise<void> =>
  world.connect(
    () => world.site.link.mend(),
    () => {
      world.state.wire = 'whole'
    },
  )

const when = (holds: (state: State) => boolean) => (state: State) => (holds(state) ? true : null)

const isUp = (what: 'login' | 'service-a', { isLoginUp, isServiceUp }: State): boolean =>
  what === 'login' ? isLoginUp : isServiceUp

/** kill -9 of what runs; of what does not, nothing. */
export const kill = async (world: World, what: 'login' | 'service-a'): Promise<void> => {
  const { site, state } = world
  if (!isUp(what, state)) return
  await world.connect(
    () => (what === 'login' ? site.login : site.service).kill(),
    () => {
      if (what === 'login') state.isLoginUp = false
      else state.isServiceUp = false
    },
  )
}

const killCommand = (what: 'login' | 'service-a'): Command =>
  command(
    `kill ${what}`,
    when(state => isUp(what, state)),
    world => kill(world, what),
  )

/** What can be done to a wire that is whole. */
export const damageWire = (world: World, kind: Exclude<State['wire'], 'whole'>): Promise<void> =>
  world.connect(
    () => {
      const { link } = world.site
      if (kind === 'cut') link.cut()
      else if (kind === 'mute') link.mute()
      else if (kind === 'halve') link.halve()
      else link.delay(100)
    },
    () => {
      world.state.wire = kind
    },
  )

const damage = fc.constantFrom('cut', 'cut', 'mute', 'halve', 'delay' as const).map(kind =>
  command(
    `${kind} the wire`,
    when(({ wire }) => wire === 'whole'),
    world => damageWire(world, kind),
  ),
)

const pause = (milliseconds: number): Command =>
  command(
    `wait for ${milliseconds} ms`,
    () => true,
    () => Bun.sleep(milliseconds),
  )

/** `isLong`: with pauses that outlast what a service may go on without news. */
export const outageCommands = (isLong: boolean): fc.Arbitrary<Command>[] => {
  const start = fc.constant(
    command(
      'start what is down',
      when(({ isLoginUp, isServiceUp }) => !(isLoginUp && isServiceUp)),
      async world => {
        if (!world.state.isLoginUp) await startLogin(world)
        if (!world.state.isServiceUp) await startService(world)
      },
    ),
  )
  const mendWire = fc.constant(
    command(
      'mend the wire',
      when(({ wire }) => wire !== 'whole'),
      mend,
    ),
  )
  const copy = fc.constant(
    command(
      'copy the database of login',
      when(({ isLoginUp }) => isLoginUp),
      async world => world.takeCopy(),
    ),
  )
  const hear = fc.constant(
    command(
      'let everything be heard',
      when(({ isLoginUp, isServiceUp }) => isLoginUp && isServiceUp),
      world => world.hear(),
    ),
  )
  const restore = fc.boolean().map(isHeard =>
    command(
      isHeard ? 'let everything be heard and restore the copy' : 'restore the copy',
      when(state => state.copy !== null),
      async world => {
        if (isHeard) await world.hear()
        await world.restoreCopy()
      },
    ),
  )
  const pauses = isLong ? [50, 400, 1_600, 3_200, 5_500] : [50, 400, 1_600, 3_200]
  return [
    fc.constantFrom(killCommand('login'), killCommand('service-a')),
    start,
    start,
    start,
    damage,
    damage,
    mendWire,
    mendWire,
    mendWire,
    copy,
    hear,
    hear,
    restore,
    fc.constantFrom(...pauses).map(pause),
    fc.constantFrom(...pauses).map(pause),
  ]
}
