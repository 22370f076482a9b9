import { join } from 'node:path'
import { hotKeys, meteredPerSecond } from './cases.ts'
import { cpuPlot } from './plot.ts'
import type { Profile, Results } from './results.ts'
import {
  factsList,
  growthTable,
  loadTable,
  meteredAnswers,
  meteringTable,
  peerTable,
  profileTables,
  signInTable,
  startTable,
  targetTable,
} from './tables.ts'

export const templatePath = join(import.meta.dir, 'performance.md.template')

/** Puts figures into the text around them. @throws Error for a place without figures, or figures without a place. */
export const fill = (template: string, parts: Readonly<Record<string, string>>): string => {
  const used = new Set<string>()
  const text = template.replaceAll(/\{\{(\w+)\}\}/g, (_, name: string) => {
    const part = parts[name]
    if (part === undefined) throw new Error(`The template asks for ${name}, which nobody measured`)
    used.add(name)
    return part
  })
  const left = Object.keys(parts).filter(name => !used.has(name))
  if (left.length > 0) throw new Error(`The template has no place for ${left.join(', ')}`)
  return text
}

/** docs/performance.md and docs/performance.svg, by their paths. */
export const documents = (
  template: string,
  results: Results,
  profile: Profile | null,
): Readonly<Record<string, string>> => ({
  'docs/performance.md': fill(template, {
    facts: factsList(results),
    targets: targetTable(results),
    load: loadTable(results),
    peers: peerTable(results),
    growth: growthTable(results),
    metering: meteringTable(results),
    meteredAnswers: meteredAnswers(results),
    signIns: signInTable(results),
    starts: startTable(results),
    profile: profileTables(profile),
    hotKeys: String(hotKeys),
    meteredPerSecond: meteredPerSecond.toLocaleString('en'),
    stored: results.settings.stored.toLocaleString('en'),
    hashConcurrency: String(results.settings.hashConcurrency),
  }),
  'docs/performance.svg': cpuPlot(results),
})
