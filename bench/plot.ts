import { cases } from './cases.ts'
import type { Results } from './results.ts'
import { type Spread, spread } from './statistics.ts'

/** A bar and the range that the rounds went over. */
export type Bar = { readonly title: string; readonly group: string; readonly value: Spread }

const width = 860
const left = 330
const right = 90
const rowHeight = 26
const top = 56

/** Round numbers that a scale can end at. */
const steps = [1, 2, 2.5, 5, 10]

/** The distance of the lines of a scale that holds `most` in about six of them. */
export const scaleStep = (most: number): number => {
  const power = 10 ** Math.floor(Math.log10(most / 6))
  return (steps.find(step => step * power >= most / 6) ?? 10) * power
}

const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('`', '')

const round = (value: number): string => (Math.round(value * 10) / 10).toString()

/** Bars from left to right, readable on light and on dark. A bar beyond `most` is cut and says how long it is. */
export const plot = (title: string, bars: readonly Bar[], most: number): string => {
  const step = scaleStep(most)
  const end = Math.ceil(most / step) * step
  const at = (value: number): number => left + (Math.min(value, end) / end) * (width - left - right)
  const height = top + bars.length * rowHeight + 40
  const lines = Array.from({ length: Math.round(end / step) + 1 }, (_, index) => index * step)
  const grid = lines.map(
    value =>
      `<line class="grid" x1="${round(at(value))}" x2="${round(at(value))}" y1="${top - 8}" y2="${height - 34}"/>` +
      `<text x="${round(at(value))}" y="${height - 16}" text-anchor="middle">${round(value)}</text>`,
  )
  const rows = bars.map(({ title: label, group, value: { median, min, max } }, index) => {
    const y = top + index * rowHeight
    const middle = y + rowHeight / 2 - 3
    const isCut = median > end
    return [
      `<text x="${left - 10}" y="${middle + 4}" text-anchor="end">${escapeXml(label)}</text>`,
      `<rect class="${group}" x="${left}" y="${y}" width="${round(at(median) - left)}" height="${rowHeight - 7}" rx="2"/>`,
      isCut
        ? ''
        : `<line class="range" x1="${round(at(min))}" x2="${round(at(max))}" y1="${middle}" y2="${middle}"/>`,
      `<text x="${round(at(isCut ? median : Math.max(median, max)) + 6)}" y="${middle + 4}">${isCut ? '→ ' : ''}${round(median)}</text>`,
    ].join('')
  })
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeXml(title)}">`,
    '<style>',
    'text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:16px;font-weight:600}',
    '.grid{stroke:#8c959f;stroke-opacity:.35}.range{stroke:#24292f;stroke-width:1.5}',
    '.baseline{fill:#8c959f}.request{fill:#2f81f7}.route{fill:#2f81f7}.peer{fill:#d9822b}',
    '@media(prefers-color-scheme:dark){text{fill:#e6edf3}.range{stroke:#e6edf3}}',
    '</style>',
    `<text class="title" x="12" y="26">${escapeXml(title)}</text>`,
    ...grid,
    ...rows,
    '</svg>',
  ].join('\n')}\n`
}

/** CPU for each request, of what answers the same question. Peers go as far as they go. */
export const cpuPlot = ({ measurements }: Results): string => {
  const bars = cases
    .filter(({ group }) => group === 'baseline' || group === 'request' || group === 'peer')
    .flatMap(({ name, title, group }) => {
      const value = spread(
        measurements.filter(found => found.case === name).map(({ cpuMicroseconds }) => cpuMicroseconds),
      )
      return value === null ? [] : [{ title, group, value }]
    })
  const own = bars.filter(({ group }) => group !== 'peer').map(({ value }) => value.max)
  return plot('CPU of the server for each request, µs', bars, Math.max(1, ...own) * 1.15)
}
