/**
 * Has the kernel write what other cases left. A commit waits for all that stands before it on the disk, and would be
 * measured with their logs.
 */
export const settleDisk = (): void => {
  Bun.spawnSync(['sync'])
}
