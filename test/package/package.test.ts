import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import { type Installed, install, root } from './install.ts'

const minute = 60_000

let installed: Installed
beforeAll(async () => {
  installed = await install()
}, minute)
afterAll(() => installed.remove())

type Manifest = {
  readonly exports: Record<string, { types: string; import: string }>
  readonly dependencies: Record<string, string>
  readonly peerDependencies: Record<string, string>
}
const packaged = (): string => join(installed.folder, 'node_modules/latchkey')
const manifest = (): Promise<Manifest> => Bun.file(join(packaged(), 'package.json')).json()
const filesOf = async (folder: string, pattern: string): Promise<string[]> =>
  (await Array.fromAsync(new Bun.Glob(pattern).scan({ cwd: folder }))).sort()

const transpiler = new Bun.Transpiler({ loader: 'js' })

describe('what is packed', () => {
  test('is JavaScript and declarations for every entry, with licence and readme', async () => {
    const { exports } = await manifest()
    expect(Object.keys(exports).sort()).toEqual([
      './apikey',
      './login/client',
      './service-a/client',
      './testing',
      './userdb',
    ])
    for (const entry of Object.values(exports)) {
      expect([entry.types, existsSync(join(packaged(), entry.types))]).toEqual([entry.types, true])
      expect([entry.import, existsSync(join(packaged(), entry.import))]).toEqual([entry.import, true])
    }
    const files = await filesOf(packaged(), '**/*')
    expect(files).toContain('LICENSE')
    expect(files).toContain('README.md')
    expect(files.filter(file => !/(\.js|\.d\.ts|^LICENSE|^README\.md|^package\.json)$/.test(file))).toEqual(
      [],
    )
    expect(files.filter(file => /test|contract|worker/.test(file.replace('testing', '')))).toEqual([])
  })

  test('says nothing about the machine it was built on', async () => {
    for (const file of await filesOf(packaged(), '**/*')) {
      const text = await Bun.file(join(packaged(), file)).text()
      expect([file, text.includes(root.replace(/\/$/, ''))]).toEqual([file, false])
    }
  })

  test('imports nothing that it does not declare', async () => {
    const { dependencies, peerDependencies } = await manifest()
    const declared = [...Object.keys(dependencies), ...Object.keys(peerDependencies)]
    const strangers: string[] = []
    for (const file of await filesOf(packaged(), '**/*.{js,d.ts}')) {
      const text = await Bun.file(join(packaged(), file)).text()
      const found = file.endsWith('.js')
        ? transpiler.scanImports(text).map(({ path }) => path)
        : [...text.matchAll(/(?:from |import\()["']([^"']+)["']/g)].map(([, path = '']) => path)
      for (const path of found) {
        const isDeclared = declared.some(name => path === name || path.startsWith(`${name}/`))
        if (!isDeclared && !path.startsWith('.') && !isBuiltin(path)) strangers.push(`${file} → ${path}`)
      }
    }
    expect(strangers).toEqual([])
  })

  test('brings no second Elysia and no second TypeBox along', async () => {
    for (const name of ['elysia', '@sinclair/typebox']) {
      const copies = await filesOf(installed.folder, `**/node_modules/${name}/package.json`)
      expect(copies).toEqual([`node_modules/${name}/package.json`])
    }
  })

  test('is the version that examples/third-service asks for, beside the Elysia that it is made for', async () => {
    const read = (path: string) => Bun.file(join(root, path)).json()
    const { name, version, peerDependencies } = await read('package.json')
    const { dependencies } = await read('examples/third-service/package.json')
    expect(dependencies).toEqual({
      [name]: `file:../../dist/${name}-${version}.tgz`,
      elysia: peerDependencies.elysia,
    })
  })

  test('runs nothing when it is installed', async () => {
    const { scripts } = await Bun.file(join(packaged(), 'package.json')).json()
    expect(scripts).toBeUndefined()
  })
})

describe('to a user’s compiler', () => {
  const compile = (project = 'tsconfig.json') =>
    installed.run([process.execPath, 'tsc', '--noEmit', '--project', project])

  /** A project file of the user's, like that of `bun init` but for these options. */
  const project = async (
    name: string,
    options: Record<string, unknown>,
    files: readonly string[] | null = null,
  ): Promise<string> => {
    await Bun.write(
      join(installed.folder, name),
      JSON.stringify({
        extends: './tsconfig.json',
        compilerOptions: options,
        ...(files === null ? {} : { files }),
      }),
    )
    return name
  }

  test.each<[string, Record<string, unknown>]>([
    ['bun init writes it', {}],
    ['nodenext', { module: 'nodenext', moduleResolution: 'nodenext' }],
    [
      'exactOptionalPropertyTypes',
      { exactOptionalPropertyTypes: true, noPropertyAccessFromIndexSignature: true },
    ],
    ['isolatedModules', { isolatedModules: true, noUnusedLocals: true }],
  ])(
    'the package and its types are in order, and typos are errors: tsconfig with %s',
    async (name, options) => {
      const file = await project(`tsconfig.${name.replaceAll(' ', '-')}.json`, options)
      expect(await compile(file)).toEqual({ exitCode: 0, output: '' })
    },
    minute,
  )

  test(
    'a permission that no role has is an error that names it',
    async () => {
      const text = await Bun.file(join(installed.folder, 'examples/third-service/index.ts')).text()
      const typo = text.replace("permission: 'invoices:read'", "permission: 'invoices:raed'")
      expect(typo).not.toBe(text)
      await Bun.write(join(installed.folder, 'typo.ts'), typo)
      const { exitCode, output } = await compile(await project('tsconfig.typo.json', {}, ['typo.ts']))
      expect(exitCode).not.toBe(0)
      expect(output).toContain('\'"invoices:raed"\' is not assignable to type')
      expect(output.match(/error TS/g)).toHaveLength(1)
      await Bun.file(join(installed.folder, 'typo.ts')).delete()
    },
    minute,
  )

  test(
    'the service of docs/first-service.md compiles as it stands there',
    async () => {
      const page = await Bun.file(join(root, 'docs/first-service.md')).text()
      const example = /```ts\n(\/\/ index\.ts\n[\s\S]*?)```/.exec(page)?.[1]
      expect(example).toBeDefined()
      await Bun.write(join(installed.folder, 'docs.ts'), example ?? '')
      const result = await compile(await project('tsconfig.docs.json', {}, ['docs.ts']))
      expect(result).toEqual({ exitCode: 0, output: '' })
      await Bun.file(join(installed.folder, 'docs.ts')).delete()
    },
    minute,
  )
})

describe('the parts beside the plugin', () => {
  test('latchkey/testing makes headers that are judged as in production', async () => {
    const testing: typeof import('./fixture/testing.ts') = await import(
      join(installed.folder, 'test/package/fixture/testing.ts')
    )
    expect(await testing.ask()).toEqual({
      nobody: 400,
      user: 200,
      writer: 403,
      several: 200,
      key: 200,
      powerlessKey: 403,
      keyOnManagement: 403,
      keysOfAnother: { items: [], nextCursor: null },
    })
  })

  test('latchkey/userdb manages users by itself', async () => {
    const users: typeof import('./fixture/users.ts') = await import(
      join(installed.folder, 'test/package/fixture/users.ts')
    )
    const { made, ...found } = await users.manageUsers()
    expect(made).toMatchObject({
      email: 'ada@example.com',
      displayName: null,
      roles: ['user'],
      status: 'active',
    })
    expect(JSON.stringify(made)).not.toContain('argon2')
    expect(found).toEqual({
      good: true,
      bad: false,
      disabled: false,
      events: ['user_created', 'user_disabled'],
    })
  })

  test('latchkey/userdb loads no HTTP framework', async () => {
    const packages = new Set<string>()
    const visit = async (file: string): Promise<void> => {
      for (const { path } of transpiler.scanImports(await Bun.file(file).text())) {
        if (path.startsWith('.')) await visit(join(file, '..', path))
        else if (!isBuiltin(path)) packages.add(path)
      }
    }
    await visit(join(packaged(), (await manifest()).exports['./userdb']?.import ?? ''))
    const all = [...packages].sort()
    expect(all).toContain('drizzle-orm')
    expect(all.filter(name => !/^(drizzle-orm|@sinclair\/typebox)(\/|$)/.test(name))).toEqual([])
  })

  test('importing opens no file, no port and no connection', async () => {
    const { exitCode, output } = await installed.run([
      process.execPath,
      '-e',
      "for (const part of ['apikey', 'userdb', 'testing', 'login/client', 'service-a/client']) await import('latchkey/' + part)",
    ])
    expect({ exitCode, output }).toEqual({ exitCode: 0, output: '' })
    expect(existsSync(join(installed.folder, 'data'))).toBe(false)
  })
})
