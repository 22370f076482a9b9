import fc from 'fast-check'
import { createClient, createUser, signIn, takeToken } from './account-commands.ts'
import { disagreement } from './agreement.ts'
import { commandArbitraries } from './commands.ts'
import { makeKey } from './key-commands.ts'
import { startWorld, type World } from './world.ts'

export type ModelOptions = {
  /** With pauses that outlast what a service may go on without news. */
  readonly isLong: boolean
  /** Worlds that are made at most, each of new processes. */
  readonly runs: number
  /** Commands in each at most. */
  readonly commands: number
  /** No other world is begun after this time, seconds. */
  readonly seconds: number
}

/** A failure is tried again in smaller forms for so long, seconds. */
const shrinkSeconds = Number(process.env.MODEL_SHRINK_SECONDS ?? 60)

/** Somebody to do something to from the first command on. */
const populate = async (world: World): Promise<void> => {
  for (const roles of [['user'], ['admin', 'user']]) await signIn(world, await createUser(world, roles))
  await takeToken(world, await createClient(world, ['documents:read', 'documents:write']))
  for (const owner of world.state.login.subjects) {
    await makeKey(world, owner, ['documents:read', 'documents:write'])
  }
  world.takeCopy()
}

/** The run that failed before, as its report named it: seed, path, and replayPath of the commands. */
const replayed = (): { seed?: number; path?: string; replayPath?: string } => {
  const { MODEL_SEED: seed, MODEL_PATH: path, MODEL_REPLAY: replayPath } = process.env
  return {
    ...(seed === undefined ? {} : { seed: Number(seed) }),
    ...(path === undefined ? {} : { path }),
    ...(replayPath === undefined ? {} : { replayPath }),
  }
}

/** How much was tried. */
export type ModelReport = {
  readonly seed: number
  readonly worlds: number
  /** Commands that found something to be done to, by their first word. */
  readonly done: Readonly<Record<string, number>>
  readonly requests: number
}

/**
 * Does random things to real processes, and compares each answer with what a simple model says.
 *
 * @throws Error with the commands, and with the seed that makes them again: MODEL_SEED, MODEL_PATH and MODEL_REPLAY.
 */
export const checkModel = async ({ isLong, runs, commands, seconds }: ModelOptions): Promise<ModelReport> => {
  const { replayPath, ...again } = replayed()
  const seed = again.seed ?? Math.floor(Math.random() * 2 ** 31)
  process.stdout.write(`model: MODEL_SEED=${seed}\n`)
  let worlds = 0
  let requests = 0
  const done: Record<string, number> = {}
  let end = performance.now() + seconds * 1_000
  let hasFailed = false

  const runOnce = async (
    list: Parameters<typeof fc.asyncModelRun<World['state'], World, false, World['state']>>[1],
  ) => {
    worlds += 1
    const world = await startWorld()
    try {
      await populate(world)
      await fc.asyncModelRun(() => ({ model: world.state, real: world }), list)
      const fault = world.fault() ?? (await disagreement(world)) ?? world.fault()
      if (fault !== null) throw new Error(fault)
      requests += world.requests()
      for (const text of world.done) {
        const [, word = ''] = text.split(' ')
        done[word] = (done[word] ?? 0) + 1
      }
    } finally {
      await world.end()
    }
  }

  const list = fc.commands(commandArbitraries(isLong), {
    maxCommands: commands,
    size: 'max',
    ...(replayPath === undefined ? {} : { replayPath }),
  })
  await fc.assert(
    fc.asyncProperty(list, async cmds => {
      if (performance.now() > end) return
      try {
        await runOnce(cmds)
      } catch (error) {
        if (!hasFailed) end = Math.max(end, performance.now() + shrinkSeconds * 1_000)
        hasFailed = true
        throw error
      }
    }),
    { numRuns: runs, unbiased: true, ...again, seed },
  )
  return { seed, worlds, done, requests }
}
