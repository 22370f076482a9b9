import {
  type Address,
  createNetworks,
  formatAddress,
  type Network,
  type Networks,
  parseAddress,
  parseNetwork,
} from './networks.ts'

/** The proxies whose word is taken for where a request came from. */
export type TrustedProxies = Pick<Networks, 'has'>

/** Hops that are looked at: no way through proxies is longer, and each one is somebody's text. */
export const mostHops = 32

/** An address in brackets and its port, with room for spaces. */
const longestHop = 64

const bracketed = /^\[([\dA-Fa-f.]*:[\dA-Fa-f:.]*)\](?::\d{1,5})?$/
const withPort = /^([\d.]+):\d{1,5}$/

/** One entry of the header: an address, perhaps with the port that some proxies add. */
const readHop = (text: string): Address | null => {
  const hop = text.length > longestHop ? '' : text.trim()
  return parseAddress(bracketed.exec(hop)?.[1] ?? withPort.exec(hop)?.[1] ?? hop)
}

/** The peer as the system names it: on a link of its own with a zone, which says nothing about where that is. */
const readPeer = (peer: string): Address | null => {
  const zone = peer.indexOf('%')
  return parseAddress(zone === -1 ? peer : peer.slice(0, zone))
}

/**
 * Where a request comes from that may have passed proxies: the rightmost hop of X-Forwarded-For that is no trusted
 * proxy. Each proxy adds its own peer at the right, so that what a client made up stands left of its address and is
 * never looked at. Is each hop a trusted proxy, the request began at the leftmost one. A hop that is no address ends the
 * walk at the trusted proxy that wrote it: what is left of it, nobody vouches for.
 *
 * @param peer the other end of the connection.
 * @param forwarded all lines of the header, joined by commas.
 */
export const clientAddress = (peer: string, forwarded: string | null, trusted: TrustedProxies): string => {
  let client = readPeer(peer)
  if (client === null) return peer
  let end = forwarded?.length ?? 0
  for (let hops = 0; forwarded !== null && end > 0 && hops < mostHops && trusted.has(client); hops += 1) {
    const comma = forwarded.lastIndexOf(',', end - 1)
    const hop = readHop(forwarded.slice(comma + 1, end))
    if (hop === null) break
    client = hop
    end = comma
  }
  return formatAddress(client)
}

/** Which of the proxies that are to be trusted can't be, by their place in the list, and the rule that they break. */
export const proxyFaults = (
  proxies: readonly string[],
): readonly { readonly index: number; readonly rule: string }[] =>
  proxies.flatMap((text, index) => {
    const read = parseNetwork(text)
    if (!read.ok) return [{ index, rule: read.rule }]
    return read.network.bits === (read.network.family === 4 ? 96 : 0)
      ? [{ index, rule: 'must not be everybody, who could then say to come from anywhere' }]
      : []
  })

/**
 * @returns null where none is trusted, so that whoever asks for an address has nothing to look at.
 * @throws Error for one that is no network.
 */
export const trustedProxies = (proxies: readonly string[]): TrustedProxies | null => {
  const [fault] = proxyFaults(proxies)
  if (fault !== undefined) throw new Error(`trustedProxies[${fault.index}] ${fault.rule}.`)
  const networks = proxies.flatMap((text): Network[] => {
    const read = parseNetwork(text)
    return read.ok ? [read.network] : []
  })
  return networks.length === 0 ? null : createNetworks(networks)
}
