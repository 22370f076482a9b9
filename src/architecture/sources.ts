import { dirname, join, normalize } from 'node:path'

export const root = normalize(join(import.meta.dir, '../..'))

/** Tests and what only tests use: `*.test.ts`, contracts and workers of stores, `test-*.ts`, and this folder. */
const isForTests = (path: string): boolean =>
  /\.(test|contract|worker)\.ts$|(^|\/)test-[^/]*\.ts$|^src\/architecture\//.test(path)

const files = async (pattern: string): Promise<string[]> => {
  const found = await Array.fromAsync(new Bun.Glob(pattern).scan({ cwd: root }))
  return found.map(path => path.replaceAll('\\', '/')).sort()
}

export const allSources = (): Promise<string[]> => files('{src,db}/**/*.ts')

/** Every file that can become part of a service, by its path from the root. */
export const sources = async (): Promise<string[]> =>
  (await allSources()).filter(path => !isForTests(path) && !path.endsWith('.d.ts'))

export const read = (path: string): Promise<string> => Bun.file(join(root, path)).text()

/** The text without comments, for what must not stand in it. */
export const codeOf = (text: string): string =>
  text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '')

const transpiler = new Bun.Transpiler({ loader: 'ts' })

/** Files of this project as paths from the root, packages by their names. */
const target = (from: string, specifier: string): string =>
  specifier.startsWith('.') ? normalize(join(dirname(from), specifier)).replaceAll('\\', '/') : specifier

/** What a file imports as values: types are gone before it runs, and `scanImports` leaves them out. */
export const valueImports = async (path: string): Promise<string[]> =>
  transpiler.scanImports(await read(path)).map(found => target(path, found.path))

/** Of these what is loaded before the file runs; not what it asks for later by `import()`. */
export const staticImports = async (path: string): Promise<string[]> =>
  transpiler
    .scanImports(await read(path))
    .filter(({ kind }) => kind === 'import-statement')
    .map(found => target(path, found.path))

/** What a file imports only as types. */
export const typeImports = async (path: string): Promise<string[]> => {
  const text = codeOf(await read(path))
  const all = [...text.matchAll(/\bfrom\s+'([^']+)'/g)].flatMap(([, specifier]) =>
    specifier === undefined ? [] : [target(path, specifier)],
  )
  const values = await valueImports(path)
  return all.filter(found => !values.includes(found))
}

/** What a file brings along: itself, what it imports as values, what that imports, and so on. */
export const reachable = async (path: string, importsOf = valueImports): Promise<Set<string>> => {
  const seen = new Set<string>()
  const visit = async (at: string): Promise<void> => {
    if (seen.has(at)) return
    seen.add(at)
    if (!/^(src|db)\/.*\.ts$/.test(at)) return
    for (const next of await importsOf(at)) await visit(next)
  }
  await visit(path)
  return seen
}
