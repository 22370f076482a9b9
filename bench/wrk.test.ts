import { expect, test } from 'bun:test'
import { parseWrk } from './wrk.ts'

const good = `Running 2s test @ http://127.0.0.1:34139/items/1
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.52ms    0.95ms   9.07ms   84.15%
    Req/Sec    22.08k     3.27k   25.98k    57.14%
  Latency Distribution
     50%  829.00us
     75%    1.67ms
     90%    2.41ms
     99%    1.05s 
  46115 requests in 2.10s, 18.30MB read
Requests/sec:  21951.59
Transfer/sec:      8.71MB
`

// It pads some units with a space, and some not.
test('what wrk printed is read in the units that it chose for each figure', () => {
  expect(parseWrk(good)).toEqual({
    requests: 46_115,
    seconds: 2.1,
    refused: 0,
    broken: 0,
    p50Milliseconds: 0.829,
    p99Milliseconds: 1_050,
  })
})

test('refusals and broken connections are counted, since a server that fails is fast', () => {
  const text = good.replace(
    'Requests/sec',
    '  Socket errors: connect 1, read 20, write 0, timeout 300\n  Non-2xx or 3xx responses: 46000\nRequests/sec',
  )
  expect(parseWrk(text)).toMatchObject({ refused: 46_000, broken: 321 })
})

test.each([
  ['nothing', ''],
  ['no latencies', good.replaceAll(/^ +\d+%.*\n/gm, '')],
  ['no count', good.replace(/46115 requests/, 'many requests')],
  ['a time without a unit', good.replace('1.05s', '1.05')],
])('%s is no result, rather than a result of zero', (_, text) => {
  expect(() => parseWrk(text)).toThrow('wrk did not say')
})
