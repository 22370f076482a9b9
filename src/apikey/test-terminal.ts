import { spyOn } from 'bun:test'
import { run } from './cli.ts'

/** Runs `latchkey keys …` in this process and holds what it writes. */
export const createTestTerminal = (env: Record<string, string>) => {
  let output = ''
  let errors = ''
  const answer = (rest: unknown[]): true => {
    const done = rest.at(-1)
    if (typeof done === 'function') done()
    return true
  }
  const spies = [
    spyOn(process.stdout, 'write').mockImplementation((text, ...rest: unknown[]) => {
      output += text
      return answer(rest)
    }),
    spyOn(process.stderr, 'write').mockImplementation((text, ...rest: unknown[]) => {
      errors += text
      return answer(rest)
    }),
  ]
  let isRead = false

  return {
    /** Of the last command. */
    output: () => output,
    errors: () => errors,
    wasRead: () => isRead,
    run: (args: readonly string[], input: string | Uint8Array = '', own: Record<string, string> = env) => {
      output = ''
      errors = ''
      isRead = false
      return run(args, own, () => {
        isRead = true
        return new Blob([typeof input === 'string' ? input : new Uint8Array(input)]).stream()
      })
    },
    restore: () => {
      for (const spy of spies) spy.mockRestore()
    },
  }
}

export type TestTerminal = ReturnType<typeof createTestTerminal>
