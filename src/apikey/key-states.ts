import type { AuditContext } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import { stateOf } from './key-record.ts'
import { verifySecret } from './secret-hash.ts'
import type { KeyStore } from './store.ts'
import { parseKey, publicId } from './token.ts'

/** What a text with a checksum that fits is to this service. `live` says nothing of its owner. */
export type FoundState = 'live' | 'disabled' | 'expired' | 'revoked' | 'wrong secret' | 'unknown'

export type KeyStates = {
  /** By the secret: whoever knows an id can make up a text with it. */
  judge(text: string): Promise<FoundState>
  /** Revokes a key whose secret was right; false where somebody else was first. @throws Failure `unavailable` */
  revoke(text: string, context: AuditContext): Promise<boolean>
}

/** Texts that are remembered: the same key often stands in many places. */
const mostRemembered = 10_000

export const idOf = (text: string): string => publicId(parseKey(text)?.id ?? '')

export const createKeyStates = ({ store, clock }: { store: KeyStore; clock: Clock }): KeyStates => {
  const remembered = new Map<string, FoundState>()
  const remember = (text: string, state: FoundState): FoundState => {
    if (remembered.size >= mostRemembered) remembered.clear()
    remembered.set(text, state)
    return state
  }

  const find = async (text: string): Promise<FoundState> => {
    const parts = parseKey(text)
    const found = parts === null ? null : await store.findCredential(publicId(parts.id))
    if (parts === null || found === null) return 'unknown'
    if (!(await verifySecret(parts.secret, found.secretHash))) return 'wrong secret'
    const state = stateOf(found.key, clock())
    return state === 'active' ? 'live' : state
  }

  return {
    judge: async text => remembered.get(text) ?? remember(text, await find(text)),
    revoke: async (text, context) => {
      try {
        await store.revoke(idOf(text), 'all', context)
      } catch (error) {
        const isGone = error instanceof Failure && error.code === 'api_key_not_found'
        if (!isGone) throw error
        remember(text, 'revoked')
        return false
      }
      remember(text, 'revoked')
      return true
    },
  }
}
