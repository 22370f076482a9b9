import { ConfigError } from './lib/config.ts'
import { StartError } from './lib/start-error.ts'

const roles = {
  login: () => import('./login/start.ts'),
  'service-a': () => import('./service-a/start.ts'),
}

const isRole = (role: string): role is keyof typeof roles => Object.hasOwn(roles, role)

/** A command in the arguments, else the role in ROLE, else both roles side by side for development. */
const main = async (
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<void> => {
  if (args.length > 0) {
    const { run } = await import('./cli/run.ts')
    process.exitCode = await run(args, env)
    return
  }
  const { ROLE: role = '' } = env
  if (role === '') {
    const { start } = await import('./cli/pair.ts')
    return start(env)
  }
  if (!isRole(role)) throw new ConfigError([`ROLE is not one of: ${Object.keys(roles).join(', ')}.`])
  const { start } = await roles[role]()
  return start(env)
}

// Elysia asks it while it is imported: without it, answers would tell more than strangers should know.
Bun.env.NODE_ENV ??= 'production'

try {
  await main(process.argv.slice(2), { ...process.env })
} catch (error) {
  // At a start that fails, the words for a person and no stack; anything unforeseen keeps its stack.
  const text = error instanceof StartError ? error.message : Bun.inspect(error)
  process.stderr.write(`${text}\n`)
  process.exit(1)
}
