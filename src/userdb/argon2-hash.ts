/** What one argon2id hash costs. */
export type Argon2Parameters = {
  /** KiB. */
  readonly memoryCost: number
  /** Passes. */
  readonly timeCost: number
}

export type Argon2Cost = Argon2Parameters & {
  /** Lanes; Bun's own hashes have one. */
  readonly parallelism: number
}

const phcString =
  /^\$argon2id\$v=19\$m=([1-9]\d{0,9}),t=([1-9]\d{0,9}),p=([1-9]\d{0,7})\$[0-9A-Za-z+/]{11,86}\$[0-9A-Za-z+/]{16,86}$/

/** The cost that an argon2id hash in PHC string format asks for, or null for any other text. */
export const readCost = (hash: string): Argon2Cost | null => {
  const [, memoryCost, timeCost, parallelism] = phcString.exec(hash) ?? []
  return parallelism === undefined
    ? null
    : {
        memoryCost: Number(memoryCost),
        timeCost: Number(timeCost),
        parallelism: Number(parallelism),
      }
}

/** Whether a hash may be verified at all: Bun obeys the cost inside it, and an imported row could ask for 4 GiB. */
export const isAffordable = (hash: string): boolean => {
  const cost = readCost(hash)
  return cost !== null && cost.memoryCost <= 256 * 1024 && cost.timeCost <= 10 && cost.parallelism <= 16
}

const randomText = (): string => crypto.getRandomValues(new Uint8Array(32)).toBase64({ omitPadding: true })

/** A hash of no password: it costs what any other of these parameters does, and nothing matches it. */
export const dummyHash = ({ memoryCost, timeCost }: Argon2Parameters): string =>
  `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=1$${randomText()}$${randomText()}`
