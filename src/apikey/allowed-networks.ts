import { Failure } from '../lib/failure.ts'
import { createNetworks, formatNetwork, type Network, type Networks, parseNetwork } from '../lib/networks.ts'
import type { KeyRecord } from './key-record.ts'

export const mostNetworks = 20

/**
 * The networks of a body as they are stored: each spelled one way (a single address with `/32` or `/128`), and once.
 *
 * @throws Failure `invalid_request` that names every one that is none, and the rule it breaks.
 */
export const toAllowedNetworks = (given: readonly string[]): string[] => {
  if (given.length > mostNetworks) {
    const rule = `must be at most ${mostNetworks} networks`
    throw new Failure('invalid_request', { errors: [{ field: 'allowedNetworks', rule }] })
  }
  const read = given.map(parseNetwork)
  const errors = read.flatMap((one, index) =>
    one.ok ? [] : [{ field: `allowedNetworks/${index}`, rule: one.rule }],
  )
  if (errors.length > 0) throw new Failure('invalid_request', { errors })
  return [...new Set(read.flatMap(one => (one.ok ? [formatNetwork(one.network)] : [])))]
}

/**
 * The networks of a key, ready to be asked on each request; null for a key that may be used from anywhere. Text that is
 * no network, which nobody but a hand can have stored, lets nobody in.
 */
export const networksOf = ({ allowedNetworks }: Pick<KeyRecord, 'allowedNetworks'>): Networks | null => {
  if (allowedNetworks === null) return null
  return createNetworks(
    allowedNetworks.flatMap((text): Network[] => {
      const read = parseNetwork(text)
      return read.ok ? [read.network] : []
    }),
  )
}

/** Whether a key with these networks may be used from an address. From nowhere in particular is from outside. */
export const isAllowedFrom = (networks: Pick<Networks, 'contains'>, address: string | null): boolean =>
  address !== null && networks.contains(address)
