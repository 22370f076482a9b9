import { type Argon2Parameters, dummyHash, isAffordable, readCost } from './argon2-hash.ts'
import { createHashQueue } from './hash-queue.ts'
import { createPasswordPolicy, type PasswordPolicy } from './password-policy.ts'

/** The two functions of `Bun.password` that are used. */
export type Argon2 = {
  hash(password: string, options: { algorithm: 'argon2id' } & Argon2Parameters): Promise<string>
  verify(password: string, hash: string): Promise<boolean>
}

export type PasswordsOptions = {
  /** Hashes in flight at once; one less than there are cores leaves room for everything else. */
  readonly concurrency: number
  /** How many may wait for their turn; default four times `concurrency`. */
  readonly queueLimit?: number
  /** Default `{ memoryCost: 19456, timeCost: 2 }`, OWASP's minimum. Taken as given: configuration sets the floor. */
  readonly parameters?: Argon2Parameters
  /** Of new passwords, code points, 8 to 64; default 15. */
  readonly minimumLength?: number
  /** Default `Bun.password`. */
  readonly argon2?: Argon2
}

export type Passwords = {
  /** What is wrong with a new password. */
  readonly policy: PasswordPolicy
  /** @throws Failure `overloaded` before anything is hashed. */
  hash(password: string): Promise<string>
  /**
   * One argon2 verification whatever the hash: one that is no argon2id or asks for too much costs a dummy's,
   * and does not match.
   *
   * @throws Failure `overloaded` before anything is hashed.
   */
  verify(password: string, hash: string): Promise<boolean>
  /**
   * Costs what {@link verify} of a hash with the current parameters does, where there is none to verify.
   *
   * @throws Failure `overloaded` before anything is hashed.
   */
  verifyAgainstDummy(password: string): Promise<void>
  /** Whether a hash was made with other parameters than the current ones. */
  needsRehash(hash: string): boolean
}

const owaspMinimum: Argon2Parameters = { memoryCost: 19_456, timeCost: 2 }

/**
 * Hashes and verifies passwords by argon2id in their NFC form (NIST SP 800-63B-4 section 3.1.1.2), since Bun
 * takes the bytes as they come and keyboards differ.
 *
 * @throws RangeError when `minimumLength` or `concurrency` is out of bounds.
 */
export const createPasswords = ({
  concurrency,
  queueLimit = 4 * concurrency,
  parameters: { memoryCost, timeCost } = owaspMinimum,
  minimumLength = 15,
  argon2 = Bun.password,
}: PasswordsOptions): Passwords => {
  const enqueue = createHashQueue({ concurrency, queueLimit })
  const dummy = dummyHash({ memoryCost, timeCost })

  const verify = (password: string, hash: string): Promise<boolean> => {
    const text = password.normalize('NFC')
    return enqueue(async () => {
      if (isAffordable(hash)) {
        try {
          return await argon2.verify(text, hash)
        } catch {
          // Base64 that isn't, say: no hash after all. Were it argon2 itself that fails, the dummy fails too.
        }
      }
      await argon2.verify(text, dummy)
      return false
    })
  }

  return {
    policy: createPasswordPolicy(minimumLength),
    hash: password =>
      enqueue(() => argon2.hash(password.normalize('NFC'), { algorithm: 'argon2id', memoryCost, timeCost })),
    verify,
    verifyAgainstDummy: async password => {
      await verify(password, dummy)
    },
    needsRehash: hash => {
      const cost = readCost(hash)
      return cost?.memoryCost !== memoryCost || cost.timeCost !== timeCost || cost.parallelism !== 1
    },
  }
}
