import { SonicBoom } from 'sonic-boom'

/** Where lines go. */
export type Output = {
  write(text: string): void
  /** Calls back when everything is written, or can't be. */
  flush(done: (error?: Error | null) => void): void
}

/** How long a line may wait for others, milliseconds. */
const gatherMilliseconds = 20
const gatherCharacters = 32_768

/**
 * Standard output, written in the background and bounded: a reader that falls behind loses lines, one that is gone
 * loses all. pino's own destination writes what is left when the process exits, and without a reader it tries for ever.
 *
 * Lines are gathered for a moment: a write of its own for each would cost more than the request that it tells of. What
 * a `kill -9` can lose is that moment.
 */
export const standardOutput = (): Output => {
  // With a least length, if only of 1, `flush` calls back when everything is written.
  const output = new SonicBoom({ fd: 1, sync: false, minLength: 1, maxLength: 1_048_576 })
  output.on('error', () => {})
  let gathered = ''
  let timer: ReturnType<typeof setTimeout> | null = null
  const pass = (): void => {
    if (timer !== null) clearTimeout(timer)
    timer = null
    const text = gathered
    gathered = ''
    if (text !== '') output.write(text)
  }

  return {
    write: text => {
      gathered += text
      if (gathered.length >= gatherCharacters) pass()
      else timer ??= setTimeout(pass, gatherMilliseconds)
    },
    flush: done => {
      pass()
      output.flush(done)
    },
  }
}
