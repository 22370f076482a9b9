/** What goes with a value: the ids whose change makes it void, and the time in which it holds. */
export type Validity = {
  readonly ids: readonly string[]
  /** Milliseconds since the epoch, the first at which it holds. A clock that was set back makes it void. */
  readonly from: number
  /** Milliseconds since the epoch, the first at which it holds no more; `Infinity` for no such time. */
  readonly until: number
}

/** The state of the cache before a look-up: what changed since then, the look-up may have missed. */
export type Generation = number

/**
 * Credentials that were found good, or bad beyond doubt, by the SHA-256 of what was presented: the text itself is not
 * kept. Bounded in entries; of those the ones that were not used for longest go first, about.
 */
export type VerifiedCache<Value> = {
  find(digest: string, now: number): Value | null
  /** Asked for before a look-up begins, and handed to `put` after it. */
  generation(): Generation
  /** Takes a value in, unless anything was evicted since `generation`: it could be what has changed. */
  put(digest: string, value: Value, validity: Validity, generation: Generation): void
  /** Makes void whatever was put with this id. */
  evict(id: string): void
  clear(): void
  /** Entries, those included that are void and not yet replaced. */
  readonly size: number
  /** Since the start: credentials that were found, and those that were not, bogus ones included. */
  readonly hits: number
  readonly misses: number
}

/** One id that entries depend on. All of them are void once it is over, which costs the same for one as for thousands. */
type Tag = { readonly id: string; entries: number; isOver: boolean }

type Entry<Value> = {
  readonly digest: string
  readonly value: Value
  readonly tags: readonly Tag[]
  readonly from: number
  readonly until: number
  /** Where it stands in the ring. */
  slot: number
  wasUsed: boolean
}

/** The digest by which a credential is kept, and told apart from all others. */
export const digestOf = (text: string): string => Bun.SHA256.hash(text, 'base64')

const isVoid = ({ tags }: Entry<unknown>): boolean => {
  for (const tag of tags) if (tag.isOver) return true
  return false
}

/**
 * What has to go makes room by second chance (CLOCK): a hit only sets a mark, so that the usual case moves nothing.
 *
 * @param maxEntries 0 for a cache that keeps nothing.
 */
export const createVerifiedCache = <Value>(maxEntries: number): VerifiedCache<Value> => {
  const entries = new Map<string, Entry<Value>>()
  const ring: Entry<Value>[] = []
  const tags = new Map<string, Tag>()
  let hand = 0
  let generation: Generation = 0
  let hits = 0
  let misses = 0

  const tagOf = (id: string): Tag => {
    const known = tags.get(id)
    if (known !== undefined) return known
    const made = { id, entries: 0, isOver: false }
    tags.set(id, made)
    return made
  }

  const remove = (entry: Entry<Value>): void => {
    entries.delete(entry.digest)
    // The last one takes its place, so that the ring has no holes.
    const last = ring.pop()
    if (last !== undefined && last !== entry) {
      ring[entry.slot] = last
      last.slot = entry.slot
    }
    for (const tag of entry.tags) {
      tag.entries -= 1
      if (tag.entries === 0 && !tag.isOver) tags.delete(tag.id)
    }
  }

  const makeRoom = (): void => {
    while (ring.length >= maxEntries) {
      if (hand >= ring.length) hand = 0
      const entry = ring[hand]
      if (entry === undefined) return
      if (entry.wasUsed && !isVoid(entry)) {
        entry.wasUsed = false
        hand += 1
      } else {
        remove(entry)
      }
    }
  }

  return {
    find: (digest, now) => {
      const entry = entries.get(digest)
      if (entry === undefined || now < entry.from || now >= entry.until || isVoid(entry)) {
        if (entry !== undefined) remove(entry)
        misses += 1
        return null
      }
      hits += 1
      entry.wasUsed = true
      return entry.value
    },

    generation: () => generation,

    put: (digest, value, { ids, from, until }, before) => {
      if (before !== generation || maxEntries === 0) return
      const known = entries.get(digest)
      if (known !== undefined) remove(known)
      makeRoom()
      const entry: Entry<Value> = {
        digest,
        value,
        tags: ids.map(tagOf),
        from,
        until,
        slot: ring.length,
        wasUsed: false,
      }
      for (const tag of entry.tags) tag.entries += 1
      ring.push(entry)
      entries.set(digest, entry)
    },

    evict: id => {
      generation += 1
      const tag = tags.get(id)
      if (tag === undefined) return
      tag.isOver = true
      tags.delete(id)
    },

    clear: () => {
      generation += 1
      entries.clear()
      tags.clear()
      ring.length = 0
      hand = 0
    },

    get size() {
      return entries.size
    },
    get hits() {
      return hits
    },
    get misses() {
      return misses
    },
  }
}
