import { describe, expect, test } from 'bun:test'
import {
  allSources,
  codeOf,
  reachable,
  read,
  sources,
  staticImports,
  typeImports,
  valueImports,
} from './sources.ts'

/** Who may import whom, as values: the first pattern that a file matches says what it may import of the project. */
const rules: readonly { files: RegExp; may: readonly RegExp[] }[] = [
  {
    files: /^src\/main\.ts$/,
    may: [/^src\/(login|service-a)\/start\.ts$/, /^src\/cli\//, /^src\/lib\//],
  },
  { files: /^src\/(login|service-a)\/client\.ts$/, may: [] },
  { files: /^src\/cli\//, may: [/^src\/cli\//, /^src\/lib\//, /^src\/(login|apikey)\/cli\.ts$/] },
  {
    files: /^src\/login\//,
    may: [/^src\/login\//, /^src\/userdb\/index\.ts$/, /^src\/lib\//, /^db\/login\/index\.ts$/],
  },
  {
    files: /^src\/service-a\//,
    may: [
      /^src\/service-a\//,
      /^src\/apikey\/index\.ts$/,
      /^src\/lib\//,
      /^src\/login\/client\.ts$/,
      /^db\/service-a\/index\.ts$/,
    ],
  },
  { files: /^src\/apikey\//, may: [/^src\/apikey\//, /^src\/lib\//, /^db\/apikey\/index\.ts$/] },
  { files: /^src\/userdb\//, may: [/^src\/userdb\//, /^src\/lib\//, /^db\/userdb\/index\.ts$/] },
  { files: /^src\/lib\//, may: [/^src\/lib\//, /^package\.json$/] },
  { files: /^db\/[a-z-]+\/index\.ts$/, may: [/^db\/[a-z-]+\/\d{4}_[a-z0-9_-]+\.sql$/] },
]

const isOurs = (path: string): boolean => /^(src|db|scripts|test)\/|^package\.json$|^\.\./.test(path)

const files = await sources()
const graph = new Map<string, string[]>()
for (const file of files) graph.set(file, await valueImports(file))

/** `file → import` for every import that `isWrong`. */
const wrong = (isWrong: (file: string, found: string) => boolean): string[] =>
  [...graph].flatMap(([file, imports]) =>
    imports.filter(found => isWrong(file, found)).map(found => `${file} → ${found}`),
  )

/** Files that hold a text of this form outside of comments. */
const filesWith = async (pattern: RegExp): Promise<string[]> => {
  const holds = await Promise.all(files.map(async file => pattern.test(codeOf(await read(file)))))
  return files.filter((_, index) => holds[index])
}

describe('imports of values', () => {
  test('every file has a rule', () => {
    expect(files.length).toBeGreaterThan(60)
    expect(files.filter(file => !rules.some(rule => rule.files.test(file)))).toEqual([])
  })

  test('go only where the rules let them', () => {
    const isForbidden = (file: string, found: string): boolean => {
      const rule = rules.find(({ files: pattern }) => pattern.test(file))
      return isOurs(found) && !rule?.may.some(pattern => pattern.test(found))
    }
    expect(wrong(isForbidden)).toEqual([])
  })

  test('form no circle', async () => {
    const circles: string[] = []
    for (const [file, imports] of graph) {
      for (const found of imports) {
        if (graph.has(found) && (await reachable(found)).has(file)) circles.push(`${file} → ${found}`)
      }
    }
    expect(circles).toEqual([])
  })

  test('name files that are there, with their ending', async () => {
    const all = new Set(await allSources())
    expect(wrong((_, found) => isOurs(found) && found.endsWith('.ts') && !all.has(found))).toEqual([])
    expect(wrong((_, found) => isOurs(found) && !/\.(ts|sql|json)$/.test(found))).toEqual([])
  })

  test('lead from no service to what only tests use', () => {
    expect(wrong((_, found) => /^(src|db)\/.*\.ts$/.test(found) && !graph.has(found))).toEqual([])
  })

  test('bring no HTTP along with the user library', async () => {
    for (const file of files.filter(path => path.startsWith('src/userdb/'))) {
      const found = [...(await reachable(file))]
      expect(
        found.filter(path => /elysia|^src\/lib\/(problem|guard|request|server|body)\.ts$/.test(path)),
      ).toEqual([])
    }
  })

  test('bring no Elysia along with main.ts, which must set NODE_ENV before Elysia asks for it', async () => {
    const found = [...(await reachable('src/main.ts', staticImports))]
    expect(found).toContain('src/lib/config.ts')
    expect(found.filter(path => /elysia/.test(path))).toEqual([])
  })

  test('bring no service along with a library or another service', async () => {
    const alongWith = async (file: string, pattern: RegExp): Promise<string[]> =>
      [...(await reachable(file))].filter(path => pattern.test(path))
    const services = /^(src|db)\/(login|service-a|cli)\//
    expect(await alongWith('src/userdb/index.ts', services)).toEqual([])
    expect(await alongWith('src/apikey/index.ts', services)).toEqual([])
    expect(await alongWith('src/apikey/testing.ts', services)).toEqual([])
    expect(await alongWith('src/login/start.ts', /^(src|db)\/(apikey|service-a|cli)\//)).toEqual([])
    // Of login the other service has the client, and with it nothing of what login runs.
    expect(await alongWith('src/service-a/start.ts', /^(src|db)\/(login|userdb|cli)\//)).toEqual([
      'src/login/client.ts',
    ])
  })
})

describe('a client', () => {
  const clients = files.filter(file => file.endsWith('/client.ts'))

  test('is there for each service', () => {
    expect(clients).toEqual(['src/login/client.ts', 'src/service-a/client.ts'])
  })

  test.each(clients)('%s takes Eden, the type of its own app, and nothing else', async file => {
    expect(await valueImports(file)).toEqual(['@elysiajs/eden'])
    expect(await typeImports(file)).toEqual([file.replace('client.ts', 'app.ts')])
  })
})

describe('what reaches outside', () => {
  const startFiles = ['src/login/start.ts', 'src/service-a/start.ts']

  test('the environment is read in main.ts alone', async () => {
    expect(await filesWith(/process\s*\.\s*env\b|\bBun\s*\.\s*env\b|import\.meta\.env/)).toEqual([
      'src/main.ts',
    ])
    expect(await filesWith(/\{[^}]*\benv\b[^}]*\}\s*=\s*(process|Bun)\b/)).toEqual([])
  })

  test('only what starts a service listens, handles signals or ends the process', async () => {
    const allowed = [
      ...startFiles,
      'src/lib/server.ts',
      'src/main.ts',
      ...files.filter(file => /^src\/cli\//.test(file)),
    ]
    const found = await filesWith(
      /\bBun\s*\.\s*serve\b|\.listen\s*\(|\bprocess\s*\.\s*(on|once|addListener|exit|kill|abort)\s*\(/,
    )
    expect(found).toContain('src/lib/server.ts')
    expect(found.filter(file => !allowed.includes(file))).toEqual([])
  })

  test('nothing but the log, start files and commands writes to the terminal', async () => {
    expect(await filesWith(/\bconsole\s*\./)).toEqual([])
    const found = await filesWith(/\bprocess\s*\.\s*std(out|err)\b|\bBun\s*\.\s*(stdout|stderr)\b/)
    expect(found.filter(file => !/^src\/(main\.ts|cli\/|[a-z-]+\/(start|cli)\.ts$)/.test(file))).toEqual([])
  })

  test('nothing runs a shell or code from text', async () => {
    expect(
      await filesWith(/\beval\s*\(|\bnew\s+Function\b|\bBun\s*\.\s*\$|from 'node:(vm|child_process)'/),
    ).toEqual([])
  })
})

describe('no import does anything', () => {
  // main.ts is the program itself.
  const modules = files.filter(file => file !== 'src/main.ts' && file.startsWith('src/'))

  test('no file awaits while it is imported', async () => {
    const topLevel = await filesWith(/^(export\s+)?(const\s+[^=]+=\s*)?await\b/m)
    expect(topLevel.filter(file => modules.includes(file))).toEqual([])
  })

  test('no file opens, listens or starts a timer outside of its functions', async () => {
    const effects = await filesWith(
      /^(const [^=]+= )?(openDatabase|migrate|serve|setInterval|setTimeout|new Database)\(/m,
    )
    expect(effects).toEqual([])
  })
})
