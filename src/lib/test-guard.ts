import { defaultBodyLimits } from './body.ts'
import { Failure } from './failure.ts'
import { createGuard, type GuardedPrincipal } from './guard.ts'
import { commonProblems } from './problem.ts'
import { Refusal } from './problem-answer.ts'

export const guardProblems = {
  ...commonProblems,
  credential_missing: { status: 400, title: 'The request carries no credential' },
  token_invalid: { status: 401, title: 'The access token is not valid' },
  insufficient_permission: { status: 403, title: 'The credential lacks the permission' },
  jwt_required: { status: 403, title: 'An access token is needed' },
} as const

export type Caller = GuardedPrincipal & { readonly name: string }

const refuse = (code: keyof typeof guardProblems) => ({ ok: false, refusal: new Refusal(code, {}) }) as const

let made = 0

/**
 * A guard that believes the header `x-caller`: `<kind>` or `<kind> <permissions>`, or what goes wrong (`bad`, `outage`,
 * `fault`). `judged` fills with whom it was asked about, `told` with what was decided of whom.
 */
export const createTestGuard = ({ otherBodies = false, maxBytes = defaultBodyLimits.maxBytes } = {}) => {
  const judged: string[] = []
  const told: string[] = []
  made += 1
  const guard = createGuard<Caller, 'notes:read' | 'notes:write'>({
    name: `test/${made}`,
    table: guardProblems,
    body: { ...defaultBodyLimits, maxBytes },
    otherBodies,
    onLacking: ({ principal: { name } }) => {
      told.push(`refused ${name}`)
    },
    admit: ({ principal: { name } }) => {
      told.push(`accepted ${name}`)
    },
    authenticate: async ({ headers }, { jwtOnly }) => {
      const name = headers.get('x-caller')
      judged.push(`${name}${jwtOnly ? ' (jwt only)' : ''}`)
      // A turn of the event loop, as a real look-up takes.
      await Bun.sleep(0)
      if (name === null) return refuse('credential_missing')
      if (name === 'bad') return refuse('token_invalid')
      if (name === 'outage') throw new Failure('unavailable', { retryAfterSeconds: 1 })
      if (name === 'fault') throw new Error('the-private-cause')
      const [kind, ...permissions] = name.split(' ')
      if (kind === 'key' && jwtOnly) return refuse('jwt_required')
      const principal = { name, ownerId: `usr_${name}`, permissions }
      return { ok: true, principal: { ...principal, kind: kind === 'key' ? 'key' : 'user' } }
    },
  })
  return { guard, judged, told }
}
