import { expect, test } from 'bun:test'
import { cpuPlot, plot, scaleStep } from './plot.ts'
import { testResults } from './test-results.ts'

test('the scale goes in round steps, about six of them', () => {
  expect([6, 60, 75, 100, 0.6].map(scaleStep)).toEqual([1, 10, 20, 20, 0.1])
})

const bar = (title: string, median: number) => ({
  title,
  group: 'peer',
  value: { median, min: median, max: median },
})

test('bars are as long as their figures, and one beyond the scale is cut and says so', () => {
  const widths = [
    ...plot('t', [bar('a', 30), bar('b', 60), bar('c', 900)], 60).matchAll(/<rect[^>]* width="([\d.]+)"/g),
  ]
  const [a, b, c] = widths.map(([, width]) => Number(width))
  expect(b).toBe(2 * (a ?? 0))
  expect(c).toBe(b)
  expect(plot('t', [bar('c', 900)], 60)).toContain('→ 900')
})

test('the text of a bar can not break out of the picture', () => {
  expect(plot('t', [bar('<b> & `c`', 1)], 1)).toContain('&lt;b&gt; &amp; c')
})

test('the plot of a run can be drawn even where nothing was measured', () => {
  expect(cpuPlot(testResults({ measurements: [] }))).toContain('</svg>')
  expect(cpuPlot(testResults())).toContain('API key, hot')
})
