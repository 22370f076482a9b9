/**
 * Builds the npm package in dist/package and packs it: `bun run build:package`.
 *
 * It ships JavaScript and declarations, not the sources: with those a user's own `tsc` would have to accept
 * our settings and the migrations' SQL imports.
 */
import { cp, rm } from 'node:fs/promises'
import manifest from '../package.json' with { type: 'json' }

/** What can be imported from the package, and where it comes from. */
const entries = {
  './apikey': 'src/apikey/index',
  './userdb': 'src/userdb/index',
  './testing': 'src/apikey/testing',
  './login/client': 'src/login/client',
  './service-a/client': 'src/service-a/client',
}
const sources = Object.values(entries).map(entry => `${entry}.ts`)
const out = 'dist/package'

const run = (command: readonly string[], cwd = '.'): void => {
  const { exitCode } = Bun.spawnSync([process.execPath, ...command], {
    cwd,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (exitCode !== 0) process.exit(exitCode)
}

await rm(out, { recursive: true, force: true })

await Bun.build({
  entrypoints: sources,
  root: '.',
  outdir: `${out}/lib`,
  naming: { entry: '[dir]/[name].js', chunk: 'chunks/[name]-[hash].js' },
  target: 'bun',
  format: 'esm',
  packages: 'external',
  // Two entries in one process must share their classes and caches.
  splitting: true,
})

// A file of its own because tsc takes either sources or a project.
await Bun.write(
  'dist/package.tsconfig.json',
  JSON.stringify({
    extends: '../tsconfig.json',
    compilerOptions: {
      noEmit: false,
      declaration: true,
      emitDeclarationOnly: true,
      rootDir: '..',
      outDir: 'package/types',
    },
    include: [],
    files: [...sources, 'src/text.d.ts'].map(source => `../${source}`),
  }),
)
// The declarations keep their `.ts` imports: a user's tsc resolves those to the `.d.ts` files.
run(['tsc', '--project', 'dist/package.tsconfig.json'])

const { name, version, description, license, engines, dependencies, peerDependencies } = manifest
// Without `type`, like Elysia's own: with `module` a compiler that resolves as Node does finds another declaration
// of TypeBox for us than for Elysia, and knows nothing of the errors of a user's routes.
await Bun.write(
  `${out}/package.json`,
  JSON.stringify(
    {
      name,
      version,
      description,
      license,
      engines,
      exports: Object.fromEntries(
        Object.entries(entries).map(([path, entry]) => [
          path,
          { types: `./types/${entry}.d.ts`, import: `./lib/${entry}.js` },
        ]),
      ),
      files: ['lib', 'types'],
      dependencies,
      peerDependencies,
    },
    null,
    2,
  ),
)
for (const file of ['README.md', 'LICENSE']) await cp(file, `${out}/${file}`)

run(['pm', 'pack', '--destination', '..', '--quiet'], out)
