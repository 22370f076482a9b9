import { isIP } from 'node:net'

/**
 * An IP address as bits, 32 a word. IPv4 stands where RFC 4291 section 2.5.5.2 maps it (`::ffff:0:0/96`), so that both
 * spellings of an IPv4 address are one; `family` still tells it from IPv6.
 */
export type Address = { readonly family: 4 | 6; readonly words: Words }
type Words = readonly [number, number, number, number]

/** Addresses that agree in their first bits: `bits` of all 128, so that IPv4 has 96 or more. */
export type Network = Address & { readonly bits: number }

/** Longer is no address: `0000:0000:0000:0000:0000:ffff:255.255.255.255`. */
const longestAddress = 45
/** The same and `/128`. */
export const longestNetwork = 49

const mapped = 0xffff

const dot = 46

/** Of an address that is well formed. By hand, since this is asked on the path of requests. */
const readIpv4 = (text: string): number => {
  let value = 0
  let part = 0
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === dot) {
      value = value * 256 + part
      part = 0
    } else {
      part = part * 10 + code - 48
    }
  }
  return value * 256 + part
}

/** The groups of an IPv6 address that is well formed, its last 32 bits perhaps in dots. */
const readGroups = (text: string): number[] => {
  if (text === '') return []
  return text.split(':').flatMap(part => {
    if (!part.includes('.')) return [Number.parseInt(part, 16)]
    const value = readIpv4(part)
    return [Math.floor(value / 65_536), value % 65_536]
  })
}

const readIpv6 = (text: string): Words => {
  const [before = '', after] = text.split('::')
  const left = readGroups(before)
  const right = after === undefined ? [] : readGroups(after)
  const groups = [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right]
  const word = (index: number): number => (groups[index] ?? 0) * 65_536 + (groups[index + 1] ?? 0)
  return [word(0), word(2), word(4), word(6)]
}

/**
 * Reads an address; null for what is none. Whether it is one, the platform says: octal, hexadecimal and short forms of
 * IPv4 are none, which programs read differently. Nor is one with a zone (`%eth0`), which means something on one machine only.
 */
export const parseAddress = (text: string): Address | null => {
  if (text.length > longestAddress || text.includes('%')) return null
  const version = isIP(text)
  if (version === 0) return null
  if (version === 4) return { family: 4, words: [0, 0, mapped, readIpv4(text)] }
  const words = readIpv6(text)
  return { family: words[0] === 0 && words[1] === 0 && words[2] === mapped ? 4 : 6, words }
}

const formatIpv4 = (value: number): string =>
  [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.')

/** RFC 5952: the longest run of zeros, the first of those, is `::`, unless it is a single group. */
const formatIpv6 = (words: Words): string => {
  const groups = words.flatMap(word => [word >>> 16, word & 65_535])
  let [start, length] = [0, 0]
  for (let from = 0; from < 8; from += 1) {
    let to = from
    while (to < 8 && groups[to] === 0) to += 1
    if (to - from > length) [start, length] = [from, to - from]
  }
  const hex = (part: readonly number[]): string => part.map(group => group.toString(16)).join(':')
  return length < 2 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`
}

/** The one spelling of an address: IPv4 in dots, IPv6 by RFC 5952. */
export const formatAddress = ({ family, words }: Address): string =>
  family === 4 ? formatIpv4(words[3]) : formatIpv6(words)

export const formatNetwork = (network: Network): string =>
  `${formatAddress(network)}/${network.family === 4 ? network.bits - 96 : network.bits}`

/** The bits of one word that belong to a prefix. */
const maskOf = (bits: number, word: number): number => {
  const inWord = Math.min(32, Math.max(0, bits - 32 * word))
  return inWord === 0 ? 0 : -1 << (32 - inWord)
}

const masksOf = (bits: number): Words => [maskOf(bits, 0), maskOf(bits, 1), maskOf(bits, 2), maskOf(bits, 3)]

/** What was read, or which rule it broke. */
export type ReadNetwork =
  | { readonly ok: true; readonly network: Network }
  | { readonly ok: false; readonly rule: string }

const refuse = (rule: string): ReadNetwork => ({ ok: false, rule })

/**
 * Reads a network in CIDR notation (RFC 4632, RFC 4291 section 2.3), or an address, which is a network of one.
 *
 * Bits beyond the prefix are refused, not cut off: `10.1.2.3/8` may as well be a slip for `/28`, and would be wide open.
 */
export const parseNetwork = (text: string): ReadNetwork => {
  const slash = text.length > longestNetwork ? text.length : text.indexOf('/')
  const base = text.slice(0, slash === -1 ? undefined : slash)
  const prefix = slash === -1 ? null : text.slice(slash + 1)
  const address = parseAddress(base)
  if (address === null || (prefix !== null && !/^(0|[1-9]\d{0,2})$/.test(prefix))) {
    return refuse('must be an address or a network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32')
  }
  // By how it is written: in `::ffff:192.0.2.0/120` all 128 bits are counted.
  const width = base.includes(':') ? 128 : 32
  const bits = Number(prefix ?? width) + 128 - width
  if (bits > 128) return refuse(`must have a prefix of 0 to ${width}`)
  const masks = masksOf(bits)
  return address.words.some((word, index) => (word & ~(masks[index] ?? 0)) !== 0)
    ? refuse('must have no bit set beyond its prefix, as in 192.0.2.0/24 and not 192.0.2.7/24')
    : { ok: true, network: { ...address, bits } }
}

/** Networks made ready for many questions. */
export type Networks = {
  /** Whether an address is in one of them. No network of IPv6 has an address of IPv4 in it, not even `::/0`. */
  has(address: Address): boolean
  /** The same of the text of an address; what is none is in no network. */
  contains(text: string): boolean
}

export const createNetworks = (networks: readonly Network[]): Networks => {
  const rows = networks.map(({ family, words, bits }) => ({ family, words, masks: masksOf(bits) }))
  const has = ({ family, words }: Address): boolean => {
    for (const row of rows) {
      if (
        family === row.family &&
        ((words[0] ^ row.words[0]) & row.masks[0]) === 0 &&
        ((words[1] ^ row.words[1]) & row.masks[1]) === 0 &&
        ((words[2] ^ row.words[2]) & row.masks[2]) === 0 &&
        ((words[3] ^ row.words[3]) & row.masks[3]) === 0
      ) {
        return true
      }
    }
    return false
  }
  // Most keys are used from one place: the last answer is the next one, as a rule.
  let last: string | null = null
  let isIn = false
  return {
    has,
    contains: text => {
      if (text === last) return isIn
      const address = parseAddress(text)
      isIn = address !== null && has(address)
      last = text
      return isIn
    },
  }
}
