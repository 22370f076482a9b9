import { join } from 'node:path'
import { reachable } from '../src/architecture/sources.ts'

const root = join(import.meta.dir, '..')
const file = 'bench/servers/without-auth.ts'

/**
 * What everything is measured against. Who changes that app changes every ratio: then this has to be changed as well,
 * and older results are no longer comparable.
 */
const pinned = 'f73c943fa5b2aabe8702a6ef2669176728a8948318f517753362e4363c89cf61'

const sha256 = (text: string): string => new Bun.CryptoHasher('sha256').update(text).digest('hex')

const read = (path: string): Promise<string> => Bun.file(join(root, path)).text()

/** The files of the product that the baseline is made of: they change, and are measured on both sides. */
const libraryOf = async (path: string): Promise<string[]> => {
  const imports = new Bun.Transpiler({ loader: 'ts' }).scanImports(await read(path))
  const own = imports.flatMap(found => /^\.\.\/\.\.\/(src\/.+)$/.exec(found.path)?.[1] ?? [])
  const found = await Promise.all(own.map(entry => reachable(entry)))
  return [...new Set(found.flatMap(paths => [...paths]))].filter(found => found.startsWith('src/')).sort()
}

export type Baseline = { readonly file: string; readonly sha256: string; readonly librarySha256: string }

/** @throws Error when the baseline is not the one that is pinned. */
export const readBaseline = async (expected = pinned): Promise<Baseline> => {
  const hash = sha256(await read(file))
  if (hash !== expected) {
    throw new Error(
      `${file} has changed: its SHA-256 is ${hash}. It is the baseline, so change what bench/baseline.ts pins too.`,
    )
  }
  const library = await Promise.all((await libraryOf(file)).map(read))
  return { file, sha256: hash, librarySha256: sha256(library.join('')) }
}
