import { bySystem } from '../lib/audit.ts'
import { isoTimeOrNull, systemClock } from '../lib/clock.ts'
import { type Input, readArguments, readShort, UsageError } from '../lib/command-line.ts'
import { Failure } from '../lib/failure.ts'
import { openParts, type Parts } from './cli-database.ts'
import { checkOwner, everything, isOwnerId } from './cli-owner.ts'
import { isKeyId, keyIdOf } from './cli-read.ts'
import type { Verb } from './cli-verb.ts'
import { jsonOf, lineOf, viewOf } from './cli-view.ts'
import type { KeyCode } from './errors.ts'
import { defaultGraceSeconds, maxGraceSeconds, maxNamedKeys } from './model.ts'
import { verifySecret } from './secret-hash.ts'
import { type KeyParts, parseKey, publicId } from './token.ts'

const graceOf = (text: string | undefined): number => {
  if (text === undefined) return defaultGraceSeconds
  const seconds = /^\d{1,8}$/.test(text) ? Number(text) : Number.NaN
  if (seconds <= maxGraceSeconds) return seconds
  throw new UsageError(`--grace-seconds takes a number from 0 to ${maxGraceSeconds}.`)
}

export const rotateVerb: Verb = {
  usage: `Usage: latchkey keys rotate key_... [--grace-seconds N] [--json]

Puts a new key in the place of another and prints it on standard output, this once. The old
one stays good for N seconds (${defaultGraceSeconds}; 0 for not at all).
`,
  prepare: args => {
    const { values, positionals } = readArguments(args, {
      json: { type: 'boolean' },
      'grace-seconds': { type: 'string' },
    })
    const id = keyIdOf(positionals)
    const graceSeconds = graceOf(values['grace-seconds'])
    return async ({ env, print, note }) => {
      using parts = openParts(env, 'write')
      const { ownerId, permissions } = await parts.store.find(id, 'all')
      // A new text for somebody's key is a new key for them.
      for (const line of checkOwner(parts.rows, ownerId, permissions)) note(line)
      const { key, text } = await parts.keys.rotate(id, { ownerId }, graceSeconds, bySystem)
      const old = await parts.store.findCredential(id)
      note(`${key.id} replaces ${id}, which ends at ${isoTimeOrNull(old?.key.expiresAt ?? null)}`)
      await print(values.json ? jsonOf({ ...viewOf(key, systemClock()), key: text }) : `${text}\n`)
      return 0
    }
  },
}

/** A key is at most 82 characters, and what surrounds it may be some more. */
const mostInput = 1_024

const readKey = async (stdin: Input): Promise<KeyParts> => {
  const text = await readShort(stdin, mostInput)
  const parts = text === null ? null : parseKey(text)
  if (parts === null) throw new UsageError('There is no key on standard input.')
  return parts
}

/** The name of a key whose secret is right: a text with another one is no key of ours. */
const provenId = async ({ store }: Parts, { id: part, secret }: KeyParts): Promise<string> => {
  const id = publicId(part)
  const found = await store.findCredential(id)
  if (found !== null && (await verifySecret(secret, found.secretHash))) return id
  throw new Failure<KeyCode>('api_key_not_found')
}

export const revokeVerb: Verb = {
  usage: `Usage: latchkey keys revoke key_... [--json]
       latchkey keys revoke --stdin [--json]

Revokes a key at once and for good, by its id or by the key itself, which then comes on
standard input and never as an argument, where others on the machine could read it.
`,
  prepare: args => {
    const { values, positionals } = readArguments(args, {
      json: { type: 'boolean' },
      stdin: { type: 'boolean' },
    })
    const { json = false, stdin: isGiven = false } = values
    if (isGiven && positionals.length > 0) throw new UsageError('Give an id or --stdin, not both.')
    const named = isGiven ? null : keyIdOf(positionals)
    return async ({ env, stdin, print, note }) => {
      const given = named ?? (await readKey(stdin))
      using parts = openParts(env, 'write')
      const id = typeof given === 'string' ? given : await provenId(parts, given)
      const before = await parts.store.findCredential(id)
      if (typeof before?.key.revokedAt === 'number') {
        note(`${id} has been revoked before, at ${isoTimeOrNull(before.key.revokedAt)}.`)
        return 1
      }
      await parts.store.revoke(id, 'all', bySystem)
      const found = await parts.store.findCredential(id)
      if (found !== null) await print((json ? jsonOf : lineOf)(viewOf(found.key, systemClock())))
      return 0
    }
  },
}

export const transferVerb: Verb = {
  usage: `Usage: latchkey keys transfer --from ID --to ID [key_...]... [--json]

Gives keys to another owner; without the id of a key all that live, 100 at a time. Each
hundred is moved whole or not at all. The keys stay as they are and go on working, as far as
the new owner may do what they do.
`,
  prepare: args => {
    const { values, positionals } = readArguments(args, {
      json: { type: 'boolean' },
      from: { type: 'string' },
      to: { type: 'string' },
    })
    const { json = false, from, to } = values
    if (!isOwnerId(from) || !isOwnerId(to)) throw new UsageError('--from and --to take the id of an owner.')
    if (from === to) throw new UsageError('--to must be another owner.')
    if (!positionals.every(isKeyId) || positionals.length > maxNamedKeys) {
      throw new UsageError(`After the options there may be up to ${maxNamedKeys} ids of keys.`)
    }
    const keyIds = positionals.length === 0 ? null : positionals
    return async ({ env, print, note }) => {
      using parts = openParts(env, 'write')
      const told = new Set<string>()
      let moved = 0
      for (;;) {
        // Looked at again for each hundred: meanwhile the new owner may have gone.
        for (const line of checkOwner(parts.rows, to, [])) told.add(line)
        const { keys, remaining } = await parts.keys.transfer({ from, to, keyIds }, everything, bySystem)
        const now = systemClock()
        for (const key of keys) {
          for (const line of checkOwner(parts.rows, to, key.permissions)) told.add(line)
        }
        if (keys.length > 0) {
          await print(keys.map(key => (json ? jsonOf : lineOf)(viewOf(key, now))).join(''))
        }
        moved += keys.length
        if (keyIds === null && keys.length > 0 && remaining > 0) continue
        for (const line of told) note(line)
        note(`Moved ${moved}; ${remaining} are left.`)
        return 0
      }
    }
  },
}
