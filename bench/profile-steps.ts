import { type Static, Type } from '@sinclair/typebox'

/** The part of a `.cpuprofile` (the format of the Chrome DevTools Protocol) that is read. Times in microseconds. */
export const CpuProfile = Type.Object({
  nodes: Type.Array(
    Type.Object({
      id: Type.Integer(),
      callFrame: Type.Object({ functionName: Type.String(), url: Type.String(), lineNumber: Type.Integer() }),
      children: Type.Optional(Type.Array(Type.Integer())),
    }),
  ),
  endTime: Type.Number(),
  samples: Type.Array(Type.Integer()),
  timeDeltas: Type.Array(Type.Number()),
  startTime: Type.Number(),
})
export type CpuProfile = Static<typeof CpuProfile>

type Frame = CpuProfile['nodes'][number]['callFrame']

/** By function or file. The first rule that fits the innermost frame that any fits says which step it is. */
const rules: readonly { readonly step: string; readonly name?: RegExp; readonly url?: RegExp }[] = [
  { step: 'address of the caller', name: /^requestIP$/ },
  { step: 'write the access log', url: /sonic-boom|\/pino\/|src\/lib\/(log|access-log|output)\.ts|node:fs/ },
  { step: 'write the access log', name: /^writeCb$/ },
  { step: 'read the credential', url: /src\/lib\/credential\.ts/ },
  { step: 'argon2id of the secret', url: /src\/apikey\/secret-hash\.ts/ },
  { step: 'SHA-256 of the credential', name: /^(hash|digestOf|digest)$/ },
  { step: 'look into the cache', url: /src\/lib\/verified-cache\.ts/ },
  { step: 'what other processes changed', url: /src\/apikey\/key-changes\.ts|src\/lib\/data-version\.ts/ },
  { step: 'verify the JWT', url: /src\/lib\/jwt\/|\/jose\// },
  { step: 'argon2id of the secret', name: /^verifySync$/ },
  { step: 'read the key’s row', url: /src\/apikey\/store[^/]*\.ts/ },
  { step: 'count the use', url: /src\/apikey\/usage[^/]*\.ts/ },
  { step: 'write the refusal', url: /src\/lib\/(problem|failure)\.ts/ },
  {
    step: 'count within limits',
    url: /src\/lib\/(limiter|named-windows|sliding-window|rate-limit-fields)\.ts/,
  },
  { step: 'count within limits', url: /src\/apikey\/(admission|key-use)\.ts/ },
  { step: 'take credits', url: /src\/apikey\/(ledger|credit-[^/]*)\.ts/ },
  { step: 'judge and let in', url: /src\/apikey\/|src\/lib\/(guard|requirement|permission|body)\.ts/ },
  { step: 'request id, headers, log entry', url: /src\/lib\/(request|server)\.ts/ },
  { step: 'the route itself', url: /bench\/servers\/|src\/(service-a|login|userdb)\// },
]

const other = 'Elysia and the response'

/** Which step a stack belongs to; the innermost frame comes first. What Elysia compiled has no file. */
export const stepOf = (stack: readonly Frame[]): string => {
  for (const { functionName, url } of stack) {
    const rule = rules.find(
      ({ name, url: file }) => (name?.test(functionName) ?? false) || (file?.test(url) ?? false),
    )
    if (rule !== undefined) return rule.step
  }
  return stack.some(({ url }) => /drizzle-orm|bun:sqlite/.test(url)) ? 'the database' : other
}

export type Share = {
  readonly name: string
  readonly step: string
  readonly samples: number
}

const fileOf = (url: string): string => url.split('/').slice(-2).join('/')

/**
 * Counts samples by step and by function, of those that were taken in the last `windowMicroseconds`: before that
 * the process started. Counts and not the times between samples, since none is taken while the process is in
 * the kernel, whose time would go to whatever runs next.
 */
export const countSamples = (
  { nodes, samples, timeDeltas, startTime, endTime }: CpuProfile,
  windowMicroseconds: number,
): Share[] => {
  const byId = new Map(nodes.map(node => [node.id, node]))
  const parents = new Map(
    nodes.flatMap(({ id, children = [] }) => children.map(child => [child, id] as const)),
  )
  const shares = new Map<number, Share>()
  const describe = (id: number): Share => {
    const stack: Frame[] = []
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const frame = byId.get(at)?.callFrame
      if (frame !== undefined) stack.push(frame)
    }
    const step = stepOf(stack)
    const own = stack.find(({ url }) => url !== '')
    const [leaf] = stack
    const name = leaf?.functionName === '' ? '(anonymous)' : (leaf?.functionName ?? '?')
    return { name: `${name} ${own === undefined ? '' : fileOf(own.url)}`.trim(), step, samples: 0 }
  }
  let at = startTime
  for (const [index, id] of samples.entries()) {
    at += timeDeltas[index] ?? 0
    if (at < endTime - windowMicroseconds) continue
    const share = shares.get(id) ?? describe(id)
    shares.set(id, { ...share, samples: share.samples + 1 })
  }
  const merged = new Map<string, Share>()
  for (const share of shares.values()) {
    const key = `${share.step}\n${share.name}`
    merged.set(key, { ...share, samples: (merged.get(key)?.samples ?? 0) + share.samples })
  }
  return [...merged.values()].toSorted((a, b) => b.samples - a.samples)
}
