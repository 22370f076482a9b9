import { expect, test } from 'bun:test'
import { documents, fill, templatePath } from './document.ts'
import { loadTable, table } from './tables.ts'
import { meteringRound, testResults } from './test-results.ts'

const template = await Bun.file(templatePath).text()

test('the page is the same for the same results, whatever the day or the place', () => {
  const first = documents(template, testResults(), null)
  expect(documents(template, testResults(), null)).toEqual(first)
  expect(Object.keys(first)).toEqual(['docs/performance.md', 'docs/performance.svg'])
})

test('the page holds no figure but those that were measured: other results give other figures', () => {
  const page = (cpuMicroseconds: number): string =>
    documents(
      template,
      testResults({
        measurements: testResults().measurements.map(found => ({ ...found, cpuMicroseconds })),
      }),
      null,
    )['docs/performance.md'] ?? ''
  expect(page(1_234.5)).toContain('1,234.5 (1,234.5–1,234.5)')
  expect(page(99)).not.toContain('1,234.5')
})

test('a place without figures, or figures without a place, is a fault and not a gap', () => {
  expect(fill('a {{b}} c', { b: '$&' })).toBe('a $& c')
  expect(() => fill('a {{b}} c', {})).toThrow('asks for b')
  expect(() => fill('a', { b: '1' })).toThrow('no place for b')
})

test('the median stands before the least and the most of the rounds', () => {
  const [row] = loadTable(testResults())
    .split('\n')
    .filter(line => line.includes('API key, hot '))
  expect(row).toContain('| 46.0 (42.0–50.0) | 1.23 (1.20–1.25) | 4.00 (3.00–5.00) |')
})

test('what a metered key paid is told beside what it was answered, of all rounds', () => {
  const metering = [meteringRound(1, 3, 4), { ...meteringRound(2, 3, 4), creditsTaken: 1_999 }]
  const page = documents(template, testResults({ metering }), null)['docs/performance.md'] ?? ''
  expect(page).toContain('4,000 answers, 3,999 credits taken')
  expect(page).toMatch(
    /\| hot key, beside the metered one \| +2,000 \| +1\.00 \| 3\.00 \(3\.00–3\.00\) \| +6\.0 \|/,
  )
})

test('a case that was not measured has no row', () => {
  expect(loadTable(testResults())).not.toContain('Better Auth')
})

test('columns are as wide as what is in them', () => {
  expect(table(['a', 'b'], [['one', '1,000']])).toBe(
    ['| a   |     b |', '| --- | ----: |', '| one | 1,000 |'].join('\n'),
  )
})

test('what a profile found is given in microseconds and as a share of the whole', () => {
  const profile = {
    startedAt: '2026-01-02T03:04:05.678Z',
    commit: '0123456789',
    machine: testResults().machine,
    requests: 1_000,
    cpuMicroseconds: 40,
    steps: [{ step: 'write the access log', microseconds: 10 }],
    functions: [{ name: 'a|b', step: 'write the access log', microseconds: 2.345 }],
  }
  const page = documents(template, testResults(), profile)['docs/performance.md'] ?? ''
  expect(page).toMatch(/\| write the access log \| +10\.0 \| +25 % \|/)
  expect(page).toContain('`a\\|b`')
})
