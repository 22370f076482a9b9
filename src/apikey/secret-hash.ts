/** Up to this much work (KiB times passes) a check is quicker than handing it to another thread: some 20 µs. */
const synchronousWork = 64

/** The costs inside a hash in PHC format: `$argon2id$v=19$m=8,t=1,p=1$…`. */
const costs = /^\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=1\$/

const isQuick = (hash: string): boolean => {
  const [, memory, time] = costs.exec(hash) ?? []
  return memory !== undefined && time !== undefined && Number(memory) * Number(time) <= synchronousWork
}

/** Whether a secret of a key belongs to a hash, whatever cost that was made with: at once where it is cheap. */
export const verifySecret = (secret: string, hash: string): boolean | Promise<boolean> =>
  isQuick(hash) ? Bun.password.verifySync(secret, hash) : Bun.password.verify(secret, hash)
