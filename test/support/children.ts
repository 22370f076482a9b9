import { readdirSync, readFileSync } from 'node:fs'

/** The processes that a process has started, by what the system tells of all. */
export const childrenOf = (pid: number): number[] => {
  if (process.platform !== 'linux') {
    const { stdout } = Bun.spawnSync(['pgrep', '-P', String(pid)])
    return stdout
      .toString()
      .split('\n')
      .filter(line => line !== '')
      .map(Number)
  }
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .filter(name => {
      try {
        // The name of the program, in parentheses, may hold spaces; the parent is the second field after it.
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid
      } catch {
        return false
      }
    })
    .map(Number)
}

/** Whether a process is there and not only its remains. */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
