/**
 * Asks again and again, from the network namespace that it is started in: `bun probe.ts <url> <milliseconds>`, with a
 * line of headers on standard input, and ends when that is closed. Writes a line a request: when it was sent
 * (milliseconds since the epoch), and the status, 0 where no answer came.
 */
const [, , url = '', pause = '10'] = process.argv
const input = Bun.stdin.stream().getReader()
const decoder = new TextDecoder()
let header = ''
while (!header.includes('\n')) {
  const { done, value } = await input.read()
  if (done) process.exit(1)
  header += decoder.decode(value, { stream: true })
}
// Whoever started it is gone, however that came about.
void input.read().then(() => process.exit(0))

const colon = header.indexOf(':')
const headers = { [header.slice(0, colon)]: header.slice(colon + 1).trim() }
for (;;) {
  const sentAt = performance.timeOrigin + performance.now()
  const status = await fetch(url, { headers, signal: AbortSignal.timeout(2_000) }).then(
    async response => {
      await response.text()
      return response.status
    },
    () => 0,
  )
  process.stdout.write(`${sentAt} ${status}\n`)
  await Bun.sleep(Number(pause))
}
