import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { readBaseline } from './baseline.ts'

test('the app without authentication is the one that is pinned', async () => {
  expect(await readBaseline()).toMatchObject({ file: 'bench/servers/without-auth.ts' })
})

test('another app is refused, by name and hash', async () => {
  await expect(readBaseline('0'.repeat(64))).rejects.toThrow(
    /without-auth\.ts has changed: its SHA-256 is [0-9a-f]{64}/,
  )
})

test('the pipeline that is measured, on both sides, is that of a service', async () => {
  const pipelineOf = async (path: string): Promise<string[]> => {
    const text = await Bun.file(join(import.meta.dir, '..', path)).text()
    const [, names = ''] = /import \{([^}]+)\} from '[./]+(?:src\/)?lib\/server\.ts'/.exec(text) ?? []
    return names
      .split(',')
      .map(name => name.trim())
      .filter(name => name !== '' && name !== 'serve' && !name.startsWith('type '))
      .sort()
  }
  const expected = await pipelineOf('src/service-a/app.ts')
  expect(expected).toContain('observe')
  for (const app of ['without-auth', 'latchkey']) {
    expect(await pipelineOf(`bench/servers/${app}.ts`)).toEqual(expected)
  }
})
