import { maxSecretLength } from './client-model.ts'

/** 256 random bits. */
export const createClientSecret = (): string =>
  `lcs_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')}`

/**
 * What a random secret needs is that nobody finds it from its hash, not that trying is slow: there are 2^256 to try.
 * Hence the lowest cost that Bun takes.
 */
const parameters = { algorithm: 'argon2id', memoryCost: 8, timeCost: 1 } as const

const cost = '$argon2id$v=19$m=8,t=1,p=1$'

export const hashClientSecret = (secret: string): Promise<string> => Bun.password.hash(secret, parameters)

const randomText = (): string => crypto.getRandomValues(new Uint8Array(32)).toBase64({ omitPadding: true })

/** The most secrets that a client has at a time. */
export const maxSecrets = 2

export type SecretChecker = {
  /**
   * Whether one of the hashes is of this secret. There are always as many hashes checked, with a text of the usual
   * length where the secret is too long to be one, so that what it takes says next to nothing of what was found.
   */
  matches(secret: string, hashes: readonly string[]): Promise<boolean>
}

export const createSecretChecker = (): SecretChecker => {
  const decoyText = createClientSecret()
  const decoy = `${cost}${randomText()}$${randomText()}`
  // Bun obeys the cost that a hash names, and a row that somebody wrote by hand could name 4 GiB.
  const safe = (hash: string | undefined): string => (hash?.startsWith(cost) ? hash : decoy)
  return {
    matches: async (secret, hashes) => {
      const isTooLong = secret.length > maxSecretLength
      const text = isTooLong ? decoyText : secret
      const verdicts: boolean[] = []
      for (let index = 0; index < maxSecrets; index += 1) {
        verdicts.push(await Bun.password.verify(text, safe(hashes[index])).catch(() => false))
      }
      return verdicts.includes(true) && !isTooLong
    },
  }
}
