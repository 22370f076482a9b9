import { exportJWK, type JWK } from 'jose'
import { createRemoteKeys, type RemoteKeys, type RemoteKeysOptions } from './jwks.ts'
import {
  audience,
  compact,
  ecdsa,
  generateKeyPair,
  goodClaims,
  issuer,
  type KeyPair,
  nowSeconds,
} from './test-tokens.ts'
import { createVerifier, type KeySource } from './verifier.ts'

/** An issuer that publishes keys over a socket of this machine, and a clock in the hand of the test. */
export type KeyStage = {
  readonly one: KeyPair
  readonly two: KeyPair
  now: number
  /** Requests so far. */
  readonly hits: number
  /** Sends the key of the name `one`, unless told otherwise. */
  answer: () => Response | Promise<Response>
  /** Answers 503 from now on. */
  goDown(): void
  /** Answers with nothing until what is returned is called. */
  hold(): (response: Response) => void
  remote(options?: Partial<RemoteKeysOptions>): RemoteKeys
  /** Whether a token that this pair signed under this name is good. */
  verify(keys: KeySource, pair: KeyPair, kid: string): Promise<boolean>
  end(): Promise<void>
}

export const published = async ({ publicKey }: KeyPair, kid: string, members: object = {}): Promise<JWK> => ({
  ...(await exportJWK(publicKey)),
  kid,
  alg: 'ES256',
  use: 'sig',
  ...members,
})

/** How a look-up ends: `found`, `none`, or the code of its failure. */
export const outcome = async (keys: KeySource, kid: string | undefined): Promise<unknown> => {
  try {
    return (await keys.find(kid)) === null ? 'none' : 'found'
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error
  }
}

export const createKeyStage = async (): Promise<KeyStage> => {
  const [one, two] = await Promise.all([generateKeyPair(), generateKeyPair()])
  const good = await published(one, 'one')
  let hits = 0
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: () => {
      hits += 1
      return stage.answer()
    },
  })
  const clock = (): number => stage.now

  const stage: KeyStage = {
    one,
    two,
    now: nowSeconds * 1_000,
    get hits() {
      return hits
    },
    answer: () => Response.json({ keys: [good] }),
    goDown: () => {
      stage.answer = () => new Response(null, { status: 503 })
    },
    hold: () => {
      const { promise, resolve } = Promise.withResolvers<Response>()
      stage.answer = () => promise
      return resolve
    },
    remote: (options = {}) =>
      createRemoteKeys({
        url: `http://127.0.0.1:${server.port}/jwks.json`,
        clock,
        freshMilliseconds: 600_000,
        cooldownMilliseconds: 10_000,
        ...options,
      }),
    verify: async (keys, pair, kid) => {
      const token = await compact({ alg: 'ES256', typ: 'at+jwt', kid }, goodClaims, ecdsa(pair.privateKey))
      return (await createVerifier({ keys, issuer, audience, clock }).verify(token)).ok
    },
    end: () => server.stop(true),
  }
  return stage
}
