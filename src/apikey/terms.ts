import { toAllowedNetworks } from './allowed-networks.ts'
import type { Ceilings } from './ceilings.ts'
import type { KeyTerms } from './key-record.ts'
import { checkLimits } from './limits-model.ts'
import { checkMetadata } from './metadata.ts'

/**
 * Terms of a key from a body, in the form that is stored. Whatever is absent stays absent.
 *
 * @throws Failure `invalid_request` that names the field
 */
export const toTerms = <Given extends Partial<KeyTerms>>(given: Given, ceilings: Ceilings): Given => {
  checkMetadata(given.metadata)
  checkLimits(given.limits ?? [])
  ceilings.checkLimits(given.limits)
  const { allowedNetworks } = given
  return allowedNetworks === null || allowedNetworks === undefined
    ? given
    : { ...given, allowedNetworks: toAllowedNetworks(allowedNetworks) }
}
