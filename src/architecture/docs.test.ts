import { expect, test } from 'bun:test'
import { docTables } from '../../scripts/doc-tables.ts'

test.each(Object.entries(docTables()))(
  '%s has the settings, routes and codes that the code has',
  async (path, tables) => {
    const page = await Bun.file(path).text()
    for (const [name, table] of Object.entries(tables)) {
      expect(page).toContain(`<!-- begin ${name} -->\n\n${table}\n\n<!-- end ${name} -->`)
    }
  },
)
