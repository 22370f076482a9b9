/** Verifies passwords as fast as this machine can, some at a time: `hashes.ts <at a time> <seconds> <memory KiB>`. */
const [concurrency = 1, seconds = 1, memoryCost = 19_456] = process.argv.slice(2).map(Number)

const hash = await Bun.password.hash('a password of some length', {
  algorithm: 'argon2id',
  memoryCost,
  timeCost: 2,
})
let count = 0
const start = performance.now()
const isOver = (): boolean => performance.now() - start > seconds * 1_000
const verifyOn = async (): Promise<void> => {
  while (!isOver()) {
    if (await Bun.password.verify('a password of some length', hash)) count += 1
  }
}
await Promise.all(Array.from({ length: concurrency }, verifyOn))
process.stdout.write(`${JSON.stringify({ perSecond: (count * 1_000) / (performance.now() - start) })}\n`)
