import { isoTimeOrNull } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import { allows } from '../lib/permission.ts'
import type { Admissions } from './admission.ts'
import { isAllowedFrom } from './allowed-networks.ts'
import type { CredentialJudge } from './authenticate.ts'
import type { KeyRecord } from './key-record.ts'
import type { KeyStore } from './store.ts'
import type { Usage } from './usage.ts'
import { isUsageOutcome } from './usage-outcomes.ts'
import { type BadKeyCode, toBadKeyCode, type VerifiedKey } from './verify-model.ts'

export type VerifyQuestion = {
  readonly text: string
  /** All of them must be held. */
  readonly permissions: readonly string[]
  /** Of who presented the key; null where whoever asks does not say. */
  readonly address: string | null
  /** Credits that the use takes of a metered key. */
  readonly cost: number
}

export type VerifyOptions = {
  readonly judgeKey: CredentialJudge['key']
  readonly store: () => Pick<KeyStore, 'find'>
  readonly noteUse: Usage['record']
  readonly admissions: Pick<Admissions, 'charge'>
}

/**
 * Answers whether a key is good, as the guard would: by the same judge and memory, in the same order, and counted the
 * same. Only for the right secret it tells more than `api_key_invalid`.
 *
 * @throws Failure `unavailable` when it can't be judged.
 */
export const createVerify = ({ judgeKey, store, noteUse, admissions }: VerifyOptions) => {
  /** The record, which the memory of verified keys does not hold; null when it was revoked just now. */
  const find = async (keyId: string): Promise<KeyRecord | null> => {
    try {
      return await store().find(keyId, 'all')
    } catch (error) {
      if (error instanceof Failure && error.code === 'api_key_not_found') return null
      throw error
    }
  }

  return async (question: VerifyQuestion): Promise<VerifiedKey> => {
    const count = (keyId: string, code: BadKeyCode | 'accepted'): void => {
      if (isUsageOutcome(code)) noteUse(keyId, code, question.address)
    }
    const refuse = (
      code: BadKeyCode,
      keyId: string | null,
      retryAfterSeconds: number | null = null,
    ): VerifiedKey => {
      if (keyId !== null) count(keyId, code)
      return { valid: false, code, keyId, retryAfterSeconds }
    }

    const judged = await judgeKey(question.text)
    if (!judged.ok) return refuse(toBadKeyCode(judged.code), judged.keyId ?? null)
    const { networks, principal, use } = judged
    const { keyId = '', ownerId, permissions } = principal
    if (networks !== undefined && !isAllowedFrom(networks, question.address)) {
      return refuse('api_key_network_not_allowed', keyId)
    }
    if (!question.permissions.every(needed => allows(permissions, needed))) {
      return refuse('insufficient_permission', keyId)
    }
    const key = await find(keyId)
    if (key === null) return refuse('api_key_revoked', keyId)
    // The last step, so that a refusal burns nothing.
    const admitted = use === undefined ? null : await admissions.charge(use, question.cost)
    if (admitted?.ok === false) {
      const { code, retryAfterSeconds } = admitted.refusal
      return refuse(code, keyId, retryAfterSeconds)
    }
    count(keyId, 'accepted')
    return {
      valid: true,
      code: null,
      keyId,
      ownerId,
      name: key.name,
      permissions: [...permissions],
      expiresAt: isoTimeOrNull(key.expiresAt),
      metadata: key.metadata,
      creditsRemaining: admitted?.paid?.remaining ?? null,
    }
  }
}
