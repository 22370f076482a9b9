/**
 * Writes the parts of the docs that the code knows better: `bun run docs:generate`. They stand between two comments
 * that name them; `--check` writes nothing and fails where a page differs.
 */
import { docTables } from './doc-tables.ts'

const isCheck = process.argv.includes('--check')
let differing = 0

for (const [path, tables] of Object.entries(docTables())) {
  const before = await Bun.file(path).text()
  let after = before
  for (const [name, table] of Object.entries(tables)) {
    const [begin, end] = [`<!-- begin ${name} -->`, `<!-- end ${name} -->`]
    const [start, stop] = [after.indexOf(begin), after.indexOf(end)]
    if (start < 0 || stop < start) throw new Error(`${path} has no place for ${name}`)
    after = `${after.slice(0, start + begin.length)}\n\n${table}\n\n${after.slice(stop)}`
  }
  if (after === before) continue
  differing += 1
  process.stdout.write(`${path} ${isCheck ? 'is out of date: bun run docs:generate' : 'written'}\n`)
  if (!isCheck) await Bun.write(path, after)
}
process.exitCode = isCheck && differing > 0 ? 1 : 0
