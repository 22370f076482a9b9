import { writeSync } from 'node:fs'
import { createCreditStore } from '../../src/apikey/credit-store.ts'
import { createLedger } from '../../src/apikey/ledger.ts'
import { openKeyDatabase } from '../../src/apikey/test-store.ts'
import { systemClock } from '../../src/lib/clock.ts'

/**
 * A process that spends the credits of one key with many hands, from the first byte of standard input on, until they
 * are exhausted. It writes a letter for each that is acknowledged: `s` for a debit, `r` for a refund, `x` when a hand
 * has found nothing left; another one for what must not be.
 */
const [path = '', lineageId = '', hands = '32', cost = '3', refunds = '0'] = process.argv.slice(2)

const database = openKeyDatabase(path)
const ledger = createLedger({ store: createCreditStore({ database, clock: systemClock }) })
// Not by a stream: what is acknowledged must be out when the process is killed.
const tell = (letter: string): void => void writeSync(1, letter)

const spend = async (): Promise<void> => {
  for (let count = 1; ; count += 1) {
    const charge = await ledger.charge(lineageId, Number(cost))
    if (!charge.ok) return tell(charge.code === 'credits_exhausted' ? 'x' : '?')
    tell('s')
    if (Number(refunds) === 0 || count % Number(refunds) !== 0) continue
    await Promise.all([charge.refund(), charge.refund()])
    tell('r')
  }
}

tell('.')
for await (const _ of Bun.stdin.stream()) break
await Promise.all(Array.from({ length: Number(hands) }, spend))
await ledger.flush()
database.close()
process.exit()
