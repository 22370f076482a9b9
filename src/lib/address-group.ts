/** An IPv4 address that came over a socket of both families (RFC 4291 section 2.5.5.2). */
const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i

const groupsOf = (text: string): string[] => (text === '' ? [] : text.split(':'))

/**
 * What one caller has of addresses: an IPv4 address whole, of an IPv6 address the first 64 bits, since who has one of a
 * network has them all (RFC 4291 section 2.5.4). For null, where nobody knows the address, one name for everybody.
 */
export const addressGroupOf = (address: string | null): string => {
  if (address === null) return ''
  const bounded = address.slice(0, 64)
  if (!bounded.includes(':')) return bounded
  const [, within] = mapped.exec(bounded) ?? []
  if (within !== undefined) return within
  const [left = '', right] = bounded.split('::', 2)
  const [before, after] = [groupsOf(left), groupsOf(right ?? '')]
  // What `::` stands for; an IPv4 address at the end is two groups.
  const isDotted = after.at(-1)?.includes('.') === true
  const zeros = right === undefined ? 0 : Math.max(0, 8 - before.length - after.length - (isDotted ? 1 : 0))
  const groups = [...before, ...new Array<string>(zeros).fill('0'), ...after].slice(0, 4)
  return `${groups.map(group => group.toLowerCase().replace(/^0+(?=.)/, '')).join(':')}::/64`
}
