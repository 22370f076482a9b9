import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type LinkedSite, startLinkedSite } from '../support/linked-site.ts'
import type { Credentials } from '../support/site.ts'
import { withDatabase } from '../support/sqlite-file.ts'
import { nameOf, useCredential } from './credentials.ts'
import {
  type Credential,
  createState,
  expectationOf,
  type Permission,
  permissions,
  restore,
  type State,
} from './state.ts'
import {
  bound,
  isSettled,
  judge,
  knownUntil,
  openWindow,
  reconnect,
  type Sample,
  type Segment,
  slack,
  type Window,
} from './timeline.ts'

/** Least that a service takes, seconds. */
const maxStalenessSeconds = 3

type Track = {
  readonly credential: Credential
  readonly needed: Permission
  readonly segments: Segment[]
  readonly samples: (Sample & { readonly text: string })[]
}

/** The real processes, what the model says of them, and every answer that they gave. */
export type World = {
  readonly site: LinkedSite
  readonly state: State
  readonly credentials: readonly Credential[]
  /** Email address and password of a user, secret of a service account. */
  readonly secrets: Map<string, Credentials | string>
  /** What was done so far, each with its time. */
  readonly done: string[]
  readonly now: () => number
  /**
   * Does something and writes down when: the model is told of it once it is acknowledged, and not at all when
   * `decide` says so.
   */
  change<Result>(act: () => Promise<Result>, decide: (result: Result, at: number) => void): Promise<void>
  /** As `change`, for what takes `login`, the wire or the service away or brings it back. */
  connect(act: () => Promise<void> | void, decide: () => void): Promise<void>
  add(credential: Credential): void
  /** Within a change: what was known of the owner of a key says nothing any more, since it has another now. */
  forget(keyId: string): void
  /** Uses a credential once; the answer is judged with all others. */
  use(credential: Credential, needed: Permission): Promise<void>
  /** Whether the feed has been up for long enough to go on change by change. */
  isFollowing(): boolean
  /** Whether everything has been as it is now for so long that nothing may be refused for want of news. */
  isSettled(): boolean
  /** Waits until the service has heard everything, where it can. */
  hear(): Promise<void>
  takeCopy(): void
  restoreCopy(): Promise<void>
  /** The first thing that was not as promised, in words. */
  fault(): string | null
  /** How many answers there were. */
  requests(): number
  end(): Promise<void>
}

/** Asks without rest, and keeps what came of it, until told to stop. */
const startProbes = (world: () => { tracks: readonly Track[]; ask: (track: Track) => Promise<Sample> }) => {
  let isRunning = true
  let turn = 0
  const probe = async (): Promise<void> => {
    while (isRunning) {
      const { tracks, ask } = world()
      turn += 1
      const track = tracks[turn % Math.max(1, tracks.length)]
      const sample = track === undefined ? null : await ask(track)
      await Bun.sleep(sample?.status === 0 ? 20 : 2)
    }
  }
  const probes = [probe(), probe(), probe()]
  return async (): Promise<void> => {
    isRunning = false
    await Promise.all(probes)
  }
}

/** Starts `login`, a wire and a `service-a` that denies when it has not heard for three seconds. */
export const startWorld = async (): Promise<World> => {
  const site = await startLinkedSite({
    login: { ACCESS_TOKEN_SECONDS: '3600', LOG_LEVEL: 'info' },
    service: {
      STALE_MODE: 'deny',
      MAX_STALENESS_SECONDS: String(maxStalenessSeconds),
      // Dead tokens are tried again and again, all of them from here.
      FAILURES_PER_ADDRESS_PER_MINUTE: '0',
      KEY_LIMIT_PER_MINUTE: '0',
      LOG_LEVEL: 'info',
    },
  })
  const state = createState()
  const credentials: Credential[] = []
  const tracks: Track[] = []
  const done: string[] = []
  const moved = new Set<string>()
  const windows: Window[] = [openWindow(performance.now())]
  const copyFile = join(site.stage.folder, 'copy.sqlite')
  let changedAt = performance.now()

  const now = (): number => performance.now()

  const isConnected = (): boolean =>
    state.isLoginUp && state.isServiceUp && (state.wire === 'whole' || state.wire === 'delay')

  /** From `started` on it may have been as the model says now, from `at` on it is. */
  const note = (started: number, at: number): void => {
    for (const { credential, needed, segments } of tracks) {
      const { local, remote } = expectationOf(state, credential, needed)
      if (credential.kind === 'key' && moved.has(credential.keyId)) {
        segments.push({ from: started, local, remote: 'either' }, { from: at, local, remote })
        continue
      }
      const last = segments.at(-1)
      if (last === undefined) segments.push({ from: started, local, remote })
      else if (last.local !== local || last.remote !== remote) {
        const between = (before: Segment['local'], after: Segment['local']): Segment['local'] =>
          before === after ? before : 'either'
        segments.push(
          { from: started, local: between(last.local, local), remote: between(last.remote, remote) },
          { from: at, local, remote },
        )
      }
    }
  }

  const change: World['change'] = async (act, decide) => {
    const started = now()
    const result = await act()
    const at = now()
    decide(result, at)
    changedAt = at
    note(started, at)
    moved.clear()
  }

  const connect: World['connect'] = async (act, decide) => {
    const was = isConnected()
    const started = now()
    await act()
    const at = now()
    decide()
    const last = windows.at(-1)
    if (was && !isConnected() && last !== undefined) {
      windows[windows.length - 1] = { ...last, to: started, latest: at }
    }
    if (!was && isConnected()) {
      windows.push(openWindow(at, started))
    }
  }

  const ask = async ({ credential, needed, samples }: Track): Promise<Sample> => {
    const sent = now()
    // Where nobody answers nobody was let in.
    const outcome = await useCredential(site, credential, needed).catch(() => ({
      status: 0,
      text: 'no answer',
    }))
    const sample = { sent, answered: now(), ...outcome }
    samples.push(sample)
    return sample
  }

  const stopProbes = startProbes(() => ({ tracks, ask }))

  return {
    site,
    state,
    credentials,
    secrets: new Map(),
    done,
    now,
    change,
    connect,
    add: credential => {
      credentials.push(credential)
      for (const needed of permissions) tracks.push({ credential, needed, segments: [], samples: [] })
    },
    forget: keyId => {
      moved.add(keyId)
    },
    use: async (credential, needed) => {
      const track = tracks.find(each => each.credential === credential && each.needed === needed)
      if (track !== undefined) await ask(track)
    },
    isFollowing: () => isConnected() && (isSettled(windows, now()) || windows.at(-1)?.heard.length !== 0),
    hear: async () => {
      if (!isConnected()) return
      const moment = now()
      await site.caughtUp(reconnect + bound + 5_000)
      // What is in memory is written a moment later.
      await Bun.sleep(100)
      const last = windows.at(-1)
      if (last === undefined) return
      // Known is what had been acknowledged when it was asked; from now on, that is.
      windows[windows.length - 1] = { ...last, heard: [...last.heard, { at: now(), known: moment }] }
    },
    isSettled: () => isSettled(windows, now()) && now() - changedAt > reconnect + bound + slack,
    takeCopy: () => {
      rmSync(copyFile, { force: true })
      withDatabase(site.loginFile, database => database.query('VACUUM INTO ?').run(copyFile))
      state.copy = structuredClone(state.login)
    },
    restoreCopy: async () => {
      const { copy } = state
      if (copy === null) return
      const started = now()
      const wasUp = state.isLoginUp
      await connect(
        async () => {
          if (wasUp) await site.login.stop()
        },
        () => {
          state.isLoginUp = false
        },
      )
      for (const suffix of ['-wal', '-shm']) rmSync(`${site.loginFile}${suffix}`, { force: true })
      copyFileSync(copyFile, site.loginFile)
      const known = knownUntil(windows, started)
      await connect(
        () => site.login.restart(),
        () => {
          state.isLoginUp = true
        },
      )
      restore(state, copy, known)
      changedAt = now()
      note(started, changedAt)
    },
    fault: () => {
      for (const { credential, needed, segments, samples } of tracks) {
        for (const sample of samples) {
          const broken = judge(sample, segments, windows, maxStalenessSeconds * 1_000)
          if (broken === null) continue
          const { sent, answered, text } = sample
          const near = segments.filter(({ from }) => from > sent - 10_000 && from < answered + 1_000)
          return `${nameOf(credential)} for ${needed}: ${broken} (${text}, sent ${sent.toFixed()}, answered ${answered.toFixed()})\n${JSON.stringify({ near, windows, done })}`
        }
      }
      return null
    },
    requests: () => tracks.reduce((sum, { samples }) => sum + samples.length, 0),
    end: async () => {
      await stopProbes()
      await site.end()
    },
  }
}
