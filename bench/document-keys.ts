import { call } from '../test/support/http.ts'
import { textOf } from '../test/support/json.ts'
import { hotKeys } from './cases.ts'

/** What is written and read where documents are. */
export const document = { theme: 'dark', notify: true, tags: ['one', 'two'], limit: 12 }

/** Makes keys of one owner, who has the documents `doc-0` to `doc-99` then. */
export const createDocumentKeys = async (url: string, token: string): Promise<string[]> => {
  const permissions = ['documents:read', 'documents:write']
  const keys: string[] = []
  while (keys.length < hotKeys) {
    const { body } = await call(`${url}/api-keys`, { token, json: { name: 'bench', permissions } })
    keys.push(textOf(body, 'key'))
  }
  for (let n = 0; n < 100; n += 1) {
    await call(`${url}/documents/doc-${n}`, { key: keys[0] ?? '', method: 'PUT', json: document })
  }
  return keys
}
