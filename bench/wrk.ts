/** wrk, the load generator: a process of its own, which tells at its end what it saw. */

export type Load = {
  readonly url: string
  /** Whole seconds; wrk knows no others. */
  readonly seconds: number
  readonly connections: number
  /** `Name: value`, the same with every request. */
  readonly headers?: readonly string[]
  /** A script of `load/`, and what it is told. */
  readonly script?: { readonly path: string; readonly args: readonly string[] }
}

export type Outcome = {
  readonly requests: number
  readonly seconds: number
  /** Answers other than 2xx and 3xx. */
  readonly refused: number
  /** Connections that failed, and answers that did not come. */
  readonly broken: number
  readonly p50Milliseconds: number
  readonly p99Milliseconds: number
}

/** Microseconds, so that no figure gets more digits than wrk gave. */
const microseconds: Readonly<Record<string, number>> = { us: 1, ms: 1_000, s: 1_000_000, m: 60_000_000 }

const find = (text: string, pattern: RegExp): RegExpExecArray => {
  const match = pattern.exec(text)
  if (match === null) throw new Error(`wrk did not say ${pattern.source}:\n${text.slice(0, 2_000)}`)
  return match
}

const duration = (value = '', unit = ''): number => {
  const factor = microseconds[unit]
  if (factor === undefined) throw new Error(`wrk gave a time in ${JSON.stringify(unit)}`)
  return (Number(value) * factor) / 1_000
}

const percentile = (text: string, percent: number): number => {
  const [, value, unit] = find(text, new RegExp(`^ +${percent}% +([\\d.]+)(us|ms|s|m) *$`, 'm'))
  return duration(value, unit)
}

/** Reads what `wrk --latency` printed. @throws Error where it lacks something. */
export const parseWrk = (text: string): Outcome => {
  const [, requests, value, unit] = find(text, /^ +(\d+) requests in ([\d.]+)(us|ms|s|m) *,/m)
  const refused = /^ +Non-2xx or 3xx responses: (\d+)$/m.exec(text)?.[1] ?? '0'
  const errors = /^ +Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)$/m.exec(text) ?? []
  return {
    requests: Number(requests),
    seconds: duration(value, unit) / 1_000,
    refused: Number(refused),
    broken: errors.slice(1).reduce((sum, count) => sum + Number(count), 0),
    p50Milliseconds: percentile(text, 50),
    p99Milliseconds: percentile(text, 99),
  }
}

/** One thread of wrk, so that the server has the other core to itself. */
export const runWrk = async ({ url, seconds, connections, headers = [], script }: Load): Promise<Outcome> => {
  const child = Bun.spawn(
    [
      'wrk',
      '--threads=1',
      `--connections=${connections}`,
      `--duration=${seconds}s`,
      '--timeout=10s',
      '--latency',
      ...headers.map(header => `--header=${header}`),
      ...(script === undefined ? [] : [`--script=${script.path}`]),
      url,
      ...(script === undefined ? [] : ['--', ...script.args]),
    ],
    { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe', timeout: (seconds + 60) * 1_000 },
  )
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  if ((await child.exited) !== 0 || errors !== '') throw new Error(`wrk failed: ${errors}\n${output}`)
  return parseWrk(output)
}

/** Sees that wrk is there, and gets it from Debian's packages where that can be done. @throws Error */
export const requireWrk = (): void => {
  if (Bun.which('wrk') !== null) return
  if (process.getuid?.() === 0 && Bun.which('apt-get') !== null) {
    process.stderr.write('Installing wrk …\n')
    Bun.spawnSync(['apt-get', 'install', '-y', 'wrk'], { stdout: 'ignore', stderr: 'inherit' })
    if (Bun.which('wrk') !== null) return
  }
  throw new Error('The load comes from wrk, which is not here. Install it: apt-get install -y wrk')
}
