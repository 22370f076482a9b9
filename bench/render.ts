/**
 * Writes docs/performance.md and its plot from the newest results: `bun bench/render.ts`. With `--check` it writes
 * nothing and fails where they differ.
 */
import { join } from 'node:path'
import { documents, templatePath } from './document.ts'
import { readProfile, readResults } from './results.ts'

const root = join(import.meta.dir, '..')

/** Writes what differs, or tells of it. Returns whether everything is as it has to be now. */
export const render = async (isCheck: boolean): Promise<boolean> => {
  const { name, results } = await readResults()
  const files = documents(await Bun.file(templatePath).text(), results, await readProfile())
  let differing = 0
  for (const [path, text] of Object.entries(files)) {
    const file = Bun.file(join(root, path))
    if ((await file.exists()) && (await file.text()) === text) continue
    differing += 1
    process.stdout.write(
      `${path} ${isCheck ? `is not what ${name} says: bun bench/render.ts` : `written from ${name}`}\n`,
    )
    if (!isCheck) await Bun.write(file, text)
  }
  return !isCheck || differing === 0
}

if (import.meta.main) process.exitCode = (await render(process.argv.includes('--check'))) ? 0 : 1
