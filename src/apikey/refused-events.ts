import type { Clock } from '../lib/clock.ts'
import type { KeyEvent } from './events.ts'
import type { RefusedOutcome } from './usage-outcomes.ts'

/** How often a refusal of one key by one code is told, milliseconds. */
const pause = 60_000
/** Keys and codes that are remembered for it. */
const maxEntries = 10_000

/**
 * Gathers refusals, which come in floods: of a program that does not notice that its key has expired there may be a
 * thousand a second.
 */
export const createRefusedEvents = ({
  clock,
  emit,
}: {
  clock: Clock
  emit: (event: KeyEvent) => void
}): ((keyId: string, code: RefusedOutcome, address: string | null) => void) => {
  const told = new Map<string, { at: number; times: number }>()

  const forgetOldest = (): void => {
    const [oldest] = told.keys()
    if (oldest !== undefined) told.delete(oldest)
  }

  return (keyId, code, address) => {
    const at = clock()
    const name = `${keyId} ${code}`
    const last = told.get(name)
    // The clock may have been put back.
    if (last !== undefined && at < last.at + pause && at >= last.at) {
      last.times += 1
      return
    }
    if (last === undefined && told.size >= maxEntries) forgetOldest()
    told.delete(name)
    told.set(name, { at, times: 0 })
    emit({ type: 'api_key.refused', at, keyId, code, address, times: (last?.times ?? 0) + 1 })
  }
}
