import fc from 'fast-check'
import { accountCommands, changeRights } from './account-commands.ts'
import { at, type Command, command, subjectsOf } from './command.ts'
import { keyCommands } from './key-commands.ts'
import { damageWire, mend, outageCommands } from './outage-commands.ts'
import { type Permission, permissions } from './state.ts'

const index = fc.nat({ max: 1_000 })

const use = fc.tuple(index, fc.constantFrom<Permission>(...permissions)).map(([i, needed]) =>
  command(
    `use ${i} for ${needed}`,
    () => true,
    async world => {
      const credential = at(world.credentials, i)
      if (credential !== null) await world.use(credential, needed)
    },
  ),
)

/** As many changes as were lost, fewer or more: the restored history looks like the one that was heard, and is another. */
const restoreUnheard = fc.nat({ max: 12 }).map(count =>
  command(
    `restore the copy and make ${count} changes before anybody asks`,
    ({ copy, wire, isLoginUp }) => (copy !== null && wire === 'whole' && isLoginUp ? true : null),
    async world => {
      await world.hear()
      await damageWire(world, 'cut')
      await world.restoreCopy()
      const user = at(subjectsOf(world.state, 'user', 'active', 'disabled'), count)
      for (let turn = 0; turn < count && user !== null; turn += 1) {
        await changeRights(world, user, turn % 2 === 0 ? ['admin'] : ['user'])
      }
      await mend(world)
    },
  ),
)

/** Everything that can happen. `isLong`: with pauses that outlast what a service may go on without news. */
export const commandArbitraries = (isLong: boolean): fc.Arbitrary<Command>[] => [
  use,
  restoreUnheard,
  restoreUnheard,
  ...accountCommands(index),
  ...keyCommands(index),
  ...outageCommands(isLong),
]
