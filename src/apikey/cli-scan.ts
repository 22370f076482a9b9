import { existsSync } from 'node:fs'
import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { readArguments, UsageError } from '../lib/command-line.ts'
import { Failure } from '../lib/failure.ts'
import { isDatabaseUnavailable } from '../lib/sqlite.ts'
import { databasePathOf, openParts } from './cli-database.ts'
import type { ExitCode, Terminal, Verb } from './cli-verb.ts'
import { jsonOf } from './cli-view.ts'
import { createKeyFinder } from './key-finder.ts'
import { createKeyStates, type FoundState, idOf, type KeyStates } from './key-states.ts'
import { nameOf } from './key-words.ts'
import { ReadError, readable, type Scannable, scannables } from './scan-files.ts'

const usage = `Usage: latchkey keys scan FILE... [--revoke | --no-database] [--json]

Finds keys in files, in folders with all in them, and in standard input (-), whatever they
hold: by form and checksum, so that what is found is a key of some service of this kind.
Each is told with its place and its id, never in full:

  config/app.env:3:15  key_0123456789abcdef  live

live, disabled, expired, revoked: its secret is right, and that is its state. "wrong secret":
somebody made up the rest of it. unknown: not a key of this service. Links are not followed.

  --revoke       revokes each key whose secret is right
  --no-database  only finds; so it does where there is no database

Exit code: 0 none found, 1 found, 2 where something could not be read or done.
`

type Order = { readonly paths: readonly string[]; readonly json: boolean; readonly revoke: boolean }

type Scan = Order & Pick<Terminal, 'print' | 'note' | 'stdin'> & { readonly states: KeyStates | null }

/** What a scan has come upon. */
type Tally = { files: number; keys: number; links: number; special: number; troubles: number }

const few = (number: number, one: string, more = `${one}s`): string =>
  `${number} ${number === 1 ? one : more}`

const summaryOf = ({ files, keys, links, special, troubles }: Tally): string =>
  [
    `${few(keys, 'key')} in ${few(files, 'file')}`,
    ...(links === 0 ? [] : [`${few(links, 'link')} not followed`]),
    ...(special === 0
      ? []
      : [`${few(special, 'pipe, socket or device', 'pipes, sockets or devices')} not read`]),
    ...(troubles === 0 ? [] : [few(troubles, 'trouble')]),
  ].join('; ')

type FoundThere = { readonly file: string; readonly line: number; readonly column: number }

/** `isRevokedNow`: by this scan. A null state: there is no database to ask. */
type Judged = { readonly keyId: string; readonly state: FoundState | null; readonly isRevokedNow: boolean }

const textOf = ({ file, line, column }: FoundThere, { keyId, state, isRevokedNow }: Judged): string => {
  const words = isRevokedNow ? 'revoked now' : state
  return `${file}:${line}:${column}  ${keyId}${words === null ? '' : `  ${words}`}\n`
}

const isLeft = (state: FoundState): boolean => ['live', 'disabled', 'expired'].includes(state)

const scan = async ({ paths, json, states, revoke, stdin, print, note }: Scan): Promise<Tally> => {
  const tally: Tally = { files: 0, keys: 0, links: 0, special: 0, troubles: 0 }
  const tell = (line: string): void => {
    tally.troubles += 1
    note(line)
  }

  const judge = async (text: string): Promise<Judged> => {
    const keyId = idOf(text)
    const state = (await states?.judge(text)) ?? null
    if (states === null || state === null || !revoke || !isLeft(state)) {
      return { keyId, state, isRevokedNow: false }
    }
    try {
      const isRevokedNow = await states.revoke(text, bySystem)
      return { keyId, state: 'revoked', isRevokedNow }
    } catch (error) {
      if (!(error instanceof Failure || isDatabaseUnavailable(error))) throw error
      tell(`${keyId} could not be revoked: the database is busy or can not be written.`)
      return { keyId, state, isRevokedNow: false }
    }
  }

  const scanFile = async (path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> => {
    const finder = createKeyFinder()
    const file = nameOf(path)
    tally.files += 1
    for await (const chunk of chunks) {
      for (const { text, line, column } of finder.push(chunk)) {
        const judged = await judge(text)
        tally.keys += 1
        const there = { file, line, column }
        const { keyId, state, isRevokedNow: revoked } = judged
        await print(json ? jsonOf({ ...there, keyId, state, revoked }) : textOf(there, judged))
      }
    }
  }

  const scanOne = async (found: Scannable): Promise<void> => {
    if (found.kind === 'file') {
      try {
        await scanFile(found.path, found.chunks)
      } catch (error) {
        if (!(error instanceof ReadError)) throw error
        tell(`${nameOf(found.path)}: can not be read to its end (${error.reason})`)
      }
    } else if (found.kind === 'unreadable') tell(`${nameOf(found.path)}: can not be read (${found.reason})`)
    else if (found.kind === 'link') tally.links += 1
    else tally.special += 1
  }

  for (const path of paths) {
    if (path === '-') await scanOne({ kind: 'file', path, chunks: readable(stdin()) })
    else for await (const found of scannables(path)) await scanOne(found)
  }
  return tally
}

const readOrder = (args: readonly string[]): Order & { readonly isAlone: boolean } => {
  const { values, positionals: paths } = readArguments(args, {
    json: { type: 'boolean' },
    revoke: { type: 'boolean' },
    'no-database': { type: 'boolean' },
  })
  const { json = false, revoke = false, 'no-database': isAlone = false } = values
  if (paths.length === 0) throw new UsageError('Name files or folders, or - for standard input.')
  if (paths.filter(path => path === '-').length > 1) throw new UsageError('- can be given once.')
  if (revoke && isAlone) throw new UsageError('--revoke needs the database.')
  return { paths, json, revoke, isAlone }
}

export const scanVerb: Verb = {
  usage,
  prepare: args => {
    const { isAlone, ...order } = readOrder(args)
    return async ({ env, stdin, print, note }): Promise<ExitCode> => {
      const path = databasePathOf(env)
      const hasDatabase = !isAlone && (order.revoke || existsSync(path))
      if (!isAlone && !hasDatabase) note('There is no database at DATABASE_PATH: no states are told.')
      using parts = hasDatabase ? openParts(env, order.revoke ? 'write' : 'read') : null
      const states = parts === null ? null : createKeyStates({ store: parts.store, clock: systemClock })
      const tally = await scan({ ...order, states, stdin, print, note })
      note(summaryOf(tally))
      if (tally.troubles > 0) return 2
      return tally.keys > 0 ? 1 : 0
    }
  },
}
