import type { Clock } from '../lib/clock.ts'
import { readCredential } from '../lib/credential.ts'
import type { TokenVerifier } from '../lib/jwt/verifier.ts'
import type { RolePermissions } from '../lib/permission.ts'
import { createVerifiedCache, digestOf, type Generation, type VerifiedCache } from '../lib/verified-cache.ts'
import type { CredentialCode } from './errors.ts'
import { type Authentication, createJudges, type Judgement, type JudgesOptions, refuse } from './judgement.ts'
import { createPrincipals } from './principal.ts'
import type { KeyStore } from './store.ts'
import type { Subjects } from './subjects.ts'
import { longestKey, looksLikeKey, parseKey, shortestKey } from './token.ts'

/** What the change feed knows, where one is followed. */
export type Followed = Subjects & {
  /** @throws Failure `unavailable` while nobody can be judged: nothing was ever heard, or not for too long. */
  requireCurrent(): void
}

/** What is remembered of a credential; of which kind it was counts, since a token is no key. */
export type Remembered = { readonly kind: 'key' | 'bearer'; readonly authentication: Authentication }

export type CredentialJudgeOptions = {
  readonly store: Pick<KeyStore, 'findCredential'>
  readonly verifier: TokenVerifier
  readonly roles: RolePermissions
  readonly clock: Clock
  /** Absent, credentials live to their expiry, and nobody asks how their owners are. */
  readonly followed?: Followed | null
  /** Whoever gives one evicts from it what changes. Absent, each request is judged anew. */
  readonly cache?: VerifiedCache<Remembered>
  /** Makes sure that keys which other processes changed are evicted. @throws when that can't be told. */
  readonly catchUp?: () => void
  readonly useOf?: JudgesOptions['useOf']
}

export type AuthenticateOptions = CredentialJudgeOptions & { readonly prefix: string }

/**
 * Judges the text of a credential, wherever it was found: at once where it was verified a moment ago.
 *
 * @throws Failure `unavailable` when it can't be judged, or rejects with it.
 */
export type CredentialJudge = {
  key(text: string): Authentication | Promise<Authentication>
  token(text: string): Authentication | Promise<Authentication>
}

/**
 * Judges the credential in a request's headers.
 *
 * @throws Failure `unavailable` when it can't be judged, or rejects with it.
 */
export type Authenticate = (
  headers: Headers,
  options: { readonly jwtOnly: boolean },
) => Authentication | Promise<Authentication>

/** Longer than any access token; jose's own limit is the header block's. */
const longestToken = 8_192

type LookUp = {
  readonly kind: Remembered['kind']
  readonly generation: Generation
  readonly answer: Promise<Authentication>
}

/** One answer for each code, made once: refusals are asked for in floods. */
const createRefusals = () => {
  const made = new Map<CredentialCode, Authentication>()
  return (code: CredentialCode): Authentication => {
    const known = made.get(code)
    if (known !== undefined) return known
    const refusal = refuse(code)
    made.set(code, refusal)
    return refusal
  }
}

export const createCredentialJudge = ({
  store,
  verifier,
  roles,
  clock,
  followed = null,
  cache = createVerifiedCache(0),
  catchUp = () => {},
  useOf,
}: CredentialJudgeOptions): CredentialJudge => {
  const { judgeKey, judgeToken } = createJudges({
    store,
    verifier,
    principals: createPrincipals(roles),
    clock,
    subjects: followed,
    useOf,
  })
  const refusal = createRefusals()
  const lookUps = new Map<string, LookUp>()

  const run = async (
    digest: string,
    kind: Remembered['kind'],
    judgement: Promise<Judgement>,
    generation: Generation,
  ): Promise<Authentication> => {
    try {
      const { authentication, validity } = await judgement
      if (validity !== null) cache.put(digest, { kind, authentication }, validity, generation)
      return authentication
    } finally {
      if (lookUps.get(digest)?.generation === generation) lookUps.delete(digest)
    }
  }

  /**
   * Requests that bring the same credential at once share one look. Not with one that began before something was
   * evicted, however: it may have read what is no longer so.
   */
  const lookUp = (
    kind: Remembered['kind'],
    digest: string,
    judge: () => Promise<Judgement>,
  ): Promise<Authentication> => {
    const generation = cache.generation()
    const running = lookUps.get(digest)
    if (running?.kind === kind && running.generation === generation) return running.answer
    const answer = run(digest, kind, judge(), generation)
    lookUps.set(digest, { kind, generation, answer })
    return answer
  }

  const remembered = (kind: Remembered['kind'], digest: string): Authentication | null => {
    const known = cache.find(digest, clock())
    return known?.kind === kind ? known.authentication : null
  }

  return {
    key: text => {
      followed?.requireCurrent()
      if (text.length > longestKey || text.length < shortestKey) return refusal('api_key_invalid')
      catchUp()
      const digest = digestOf(text)
      const known = remembered('key', digest)
      if (known !== null) return known
      const parts = parseKey(text)
      return parts === null ? refusal('api_key_invalid') : lookUp('key', digest, () => judgeKey(parts))
    },

    token: text => {
      followed?.requireCurrent()
      if (text.length > longestToken) return refusal('token_invalid')
      const digest = digestOf(text)
      return remembered('bearer', digest) ?? lookUp('bearer', digest, () => judgeToken(text))
    },
  }
}

/** Finds the credential in headers, and leaves it to the judge. */
export const authenticateBy = (judge: CredentialJudge, prefix: string): Authenticate => {
  const refusal = createRefusals()
  const isKey = (text: string): boolean => looksLikeKey(text, prefix)

  return (headers, { jwtOnly }) => {
    const presented = readCredential(headers, isKey)
    if (presented.kind === 'refused') return refusal(presented.code)
    if (presented.kind === 'bearer') return judge.token(presented.text)
    return jwtOnly ? refusal('jwt_required') : judge.key(presented.text)
  }
}

export const createAuthenticate = ({ prefix, ...options }: AuthenticateOptions): Authenticate =>
  authenticateBy(createCredentialJudge(options), prefix)
