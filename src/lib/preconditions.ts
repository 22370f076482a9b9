/** Whether an entity tag is among those of If-Match or If-None-Match; `*` is any that exists (RFC 9110 section 13.1). */
export const matchesTag = (header: string, etag: string | null, compare: 'strong' | 'weak'): boolean =>
  etag !== null &&
  (header.trim() === '*' ||
    header.split(',').some(tag => tag.trim().replace(compare === 'weak' ? /^W\// : '', '') === `"${etag}"`))

/** Whether a change of what has this entity tag (null: of what is not there yet) may go on. */
export const mayChange = (headers: Headers, etag: string | null): boolean => {
  const ifMatch = headers.get('if-match')
  const ifNoneMatch = headers.get('if-none-match')
  return (
    (ifMatch === null || matchesTag(ifMatch, etag, 'strong')) &&
    (ifNoneMatch === null || !matchesTag(ifNoneMatch, etag, 'weak'))
  )
}
