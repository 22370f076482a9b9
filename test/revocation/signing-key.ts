import { textOf } from '../support/json.ts'
import { type Made, untilRefused } from './changes.ts'
import { now } from './clock.ts'
import { outcomeOf } from './samples.ts'
import type { Stand } from './stand.ts'
import { deadToken, type Watched } from './victims.ts'

const kidOf = (token: string): string =>
  textOf(JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()), 'kid')

/**
 * Revokes the key that `login` signs with, which ends every access token there is, and has the administrator and
 * somebody else sign in again.
 *
 * @param tokens all that are good now.
 */
export const revokeSigningKey = async (
  stand: Stand,
  tokens: readonly Watched[],
): Promise<{ made: Made; signInAgainMs: number | null }> => {
  const { accounts, kinds, samples, generator, site, bystander } = stand
  const watched = tokens.map(one => ({ ...one, refusal: deadToken }))
  generator.turns([...watched, ...bystander].map(({ id }) => id))
  const user = await accounts.addUser()
  const { accessToken } = await accounts.signIn(user)

  const askedAt = now()
  const ackedAt = await accounts.administer('POST', `/signing-keys/${kidOf(accessToken)}/revoke`)
  const made = { name: 'signing key revoked', victim: { watched, spared: [] }, askedAt, ackedAt }
  await untilRefused(stand, watched, ackedAt)

  await accounts.signInAdmin()
  const again = await accounts.signIn(user)
  if (kidOf(again.accessToken) === kidOf(accessToken)) throw new Error('The revoked key still signs')
  const { id } = kinds.watchToken(again.accessToken, deadToken)
  const usedFrom = now()
  generator.turns(
    [id],
    watched.map(one => one.id),
  )
  const first = (service: number): number | undefined =>
    samples.of(id, service).find(sample => outcomeOf(sample) === 'accepted')?.sentAt
  await samples.until(
    'the new sign-in let in',
    () => site.services.every((_, index) => first(index) !== undefined),
    5_000,
  )
  const times = site.services.map((_, index) => (first(index) ?? Number.NaN) - usedFrom)
  return { made, signInAgainMs: Math.max(...times) }
}
