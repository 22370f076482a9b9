import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseMessage } from './messages.ts'
import { Summary } from './summary.ts'

/** Where a run leaves its summary unless told otherwise. */
export const resultsFolder = join(import.meta.dir, 'results')

/** The run that docs/revocation.md shows. */
export const readSummary = (): Summary =>
  parseMessage(Summary, JSON.parse(readFileSync(join(resultsFolder, 'summary.json'), 'utf8')))
