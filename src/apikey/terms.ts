import { toAllowedNetworks } from './allowed-networks.ts'
import type { Ceilings } from './ceilings.ts'
import { type CreditsInput, toGrant } from './credit-model.ts'
import type { KeyTerms } from './key-record.ts'
import { checkLimits } from './limits-model.ts'
import { checkMetadata } from './metadata.ts'

/** Terms as bodies give them. */
type GivenTerms = Partial<Omit<KeyTerms, 'credits'>> & { readonly credits?: CreditsInput }

/**
 * Terms of a key from a body, in the form that is stored. Whatever is absent stays absent.
 *
 * @throws Failure `invalid_request` that names the field
 */
export const toTerms = <Given extends GivenTerms>(given: Given, ceilings: Ceilings) => {
  const { allowedNetworks, credits, ...others } = given
  checkMetadata(given.metadata)
  checkLimits(given.limits ?? [])
  ceilings.checkLimits(given.limits)
  return {
    ...others,
    ...(allowedNetworks === undefined
      ? {}
      : { allowedNetworks: allowedNetworks === null ? null : toAllowedNetworks(allowedNetworks) }),
    ...(credits === undefined ? {} : { credits: toGrant(credits) }),
  }
}
