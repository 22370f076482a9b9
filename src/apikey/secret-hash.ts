import { lowestCost, type SecretHashCost } from './keys.ts'
import { generateKey } from './token.ts'

/** Up to this much work (KiB times passes) a check is quicker than handing it to another thread: some 20 µs. */
const synchronousWork = 64

/** The costs inside a hash in PHC format: `$argon2id$v=19$m=8,t=1,p=1$…`. */
const costs = /^\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=1\$/

const isQuick = (hash: string): boolean => {
  const [, memory, time] = costs.exec(hash) ?? []
  return memory !== undefined && time !== undefined && Number(memory) * Number(time) <= synchronousWork
}

export type SecretHashes = {
  /** Whether a secret belongs to a hash; at once where that is cheap. A null hash belongs to none, and costs the same. */
  verify(secret: string, hash: string | null): boolean | Promise<boolean>
}

/** Checks secrets of keys against their hashes, whatever cost these were made with. */
export const createSecretHashes = (cost: SecretHashCost = lowestCost): SecretHashes => {
  // Verified where no key was found, so that its id can't be told from one that exists by the time it takes.
  let decoy: string | null = null
  const verify = (secret: string, hash: string): boolean | Promise<boolean> =>
    isQuick(hash) ? Bun.password.verifySync(secret, hash) : Bun.password.verify(secret, hash)
  const verifyDecoy = async (secret: string): Promise<boolean> => {
    decoy ??= await Bun.password.hash(generateKey('lk').secret, { algorithm: 'argon2id', ...cost })
    await verify(secret, decoy)
    return false
  }

  return {
    verify: (secret, hash) => (hash === null ? verifyDecoy(secret) : verify(secret, hash)),
  }
}
