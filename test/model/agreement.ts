import { member, parseJson } from '../support/json.ts'
import { isReady } from '../support/linked-site.ts'
import { isWarning } from '../support/log-lines.ts'
import { expectAgreement } from '../support/subject-rows.ts'
import { until } from '../support/wait.ts'
import { nameOf, useCredential } from './credentials.ts'
import { mend, startLogin, startService } from './outage-commands.ts'
import { expectationOf, permissions } from './state.ts'
import { bound, reconnect } from './timeline.ts'
import type { World } from './world.ts'

/** Everything that came back to life by a restore is named in the log of the service. */
const unsaid = ({ site, state }: World): string[] => {
  const said = site.stage
    .logLines()
    .filter(line => isWarning(line) && member(parseJson(line), 'service') === 'service-a')
    .join('\n')
  return [...state.comeBack].filter(id => !said.includes(id))
}

/** Mends everything and waits until all has been heard; then what the two sides disagree about, in words. */
export const disagreement = async (world: World): Promise<string | null> => {
  const { site, state, credentials } = world
  if (state.wire !== 'whole') await mend(world)
  if (!state.isLoginUp) await startLogin(world)
  if (!state.isServiceUp) await startService(world)
  await until('service-a is ready', () => isReady(site.service), reconnect + bound + 5_000)
  await site.caughtUp(reconnect + bound + 5_000)

  for (const credential of credentials) {
    for (const needed of permissions) {
      const { answer } = expectationOf(state, credential, needed)
      if (answer === null) continue
      const { text } = await useCredential(site, credential, needed)
      if (!text.startsWith(answer)) {
        return `service-a answers ${text} where the model says ${answer}: ${nameOf(credential)} for ${needed}`
      }
    }
  }

  await expectAgreement(site.loginFile, site.serviceFile)
  const left = unsaid(world)
  return left.length === 0 ? null : `came back without a word in the log of service-a: ${left.join(' ')}`
}
