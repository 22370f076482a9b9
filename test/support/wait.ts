/** Waits until something holds, looking every few milliseconds. @throws Error that names it, after the time given. */
export const until = async (
  what: string,
  holds: () => boolean | Promise<boolean>,
  milliseconds = 10_000,
): Promise<void> => {
  const end = performance.now() + milliseconds
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`Waited in vain: ${what}`)
    await Bun.sleep(10)
  }
}
