/**
 * Builds the whole project into one file that needs nothing beside it:
 * `bun run build [--target=bun-linux-arm64] [--outfile=dist/latchkey]`.
 */
import { parseArgs } from 'node:util'

const isTarget = (text: string): text is Bun.Build.CompileTarget => /^bun-(darwin|linux|windows)-/.test(text)

const { values } = parseArgs({
  options: { target: { type: 'string' }, outfile: { type: 'string', default: 'dist/latchkey' } },
})
const { target, outfile } = values
if (target !== undefined && !isTarget(target)) {
  throw new Error(`--target=${target} is not a target like bun-linux-arm64 or bun-darwin-arm64.`)
}

await Bun.build({
  entrypoints: ['src/main.ts'],
  target: 'bun',
  // Not CommonJS, which bytecode would make of it: there is top-level await.
  format: 'esm',
  bytecode: true,
  // Names stay: Elysia reads its handlers' text, and finds nothing in it once they are shortened.
  minify: { whitespace: true, syntax: true, identifiers: false },
  // Keeps the lines of a stack trace those of the sources, for half a megabyte.
  sourcemap: 'linked',
  define: { 'process.env.NODE_ENV': '"production"' },
  compile: {
    outfile,
    ...(target === undefined ? {} : { target }),
    // Else both are read from wherever the binary is started, and bunfig.toml can name code to run.
    autoloadDotenv: false,
    autoloadBunfig: false,
  },
})

const { size } = Bun.file(outfile)
process.stdout.write(`${outfile}: ${(size / 1_000_000).toFixed(1)} MB\n`)
