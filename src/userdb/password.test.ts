import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { readCost } from './argon2-hash.ts'
import { type Argon2, createPasswords, type PasswordsOptions } from './password.ts'

const cheap = { memoryCost: 8, timeCost: 1 }

/** Argon2 that writes down what it was asked for. */
const watchArgon2 = () => {
  const hashed: string[] = []
  const verified: string[] = []
  const argon2: Argon2 = {
    hash: (password, options) => {
      hashed.push(password)
      return Bun.password.hash(password, options)
    },
    verify: (password, hash) => {
      verified.push(hash)
      return Bun.password.verify(password, hash)
    },
  }
  return { argon2, hashed, verified }
}

const create = (options: Partial<PasswordsOptions> = {}) =>
  createPasswords({ concurrency: 2, parameters: cheap, ...options })

const salt = 'A'.repeat(43)
const phc = (parameters: string): string => `$argon2id$v=19$${parameters}$${salt}$${salt}`

describe('hashing', () => {
  test('PWD-06: by argon2id with the parameters given, kept in the hash; 19 MiB and 2 passes by default', async () => {
    expect(await create().hash('correct horse battery')).toStartWith('$argon2id$v=19$m=8,t=1,p=1$')
    expect(await createPasswords({ concurrency: 1 }).hash('correct horse battery')).toStartWith(
      '$argon2id$v=19$m=19456,t=2,p=1$',
    )
  })

  test('one password never has the same hash twice', async () => {
    const passwords = create()
    expect(await passwords.hash('correct horse battery')).not.toBe(
      await passwords.hash('correct horse battery'),
    )
  })

  test('PWD-03: a password matches in every composition', async () => {
    const passwords = create()
    const composed = 'caf\u00E9 \u1E9B\u0323 \uAC01 password'
    const decomposed = composed.normalize('NFD')
    expect(decomposed).not.toBe(composed)
    expect(await passwords.verify(decomposed, await passwords.hash(composed))).toBe(true)
    expect(await passwords.verify(composed, await passwords.hash(decomposed))).toBe(true)
  })

  test('PWD-03: compatible characters stay different: NFC, not NFKC', async () => {
    const passwords = create()
    expect(await passwords.verify('office password', await passwords.hash('oﬃce password'))).toBe(false)
  })

  test('PWD-02: nothing is cut off, trimmed, or changed in case, up to 256 code points', async () => {
    const passwords = create()
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'binary', minLength: 1, maxLength: 255, size: 'max' }),
        async password => {
          const hash = await passwords.hash(password)
          expect(await passwords.verify(password, hash)).toBe(true)
          for (const other of [`${password}x`, `${password} `, ` ${password}`, `${password}\0`]) {
            expect(await passwords.verify(other, hash)).toBe(false)
          }
        },
      ),
      { numRuns: 50 },
    )
    const long = 'p'.repeat(255)
    expect(await passwords.verify(`${long}Y`, await passwords.hash(`${long}y`))).toBe(false)
    expect(await passwords.verify('nul\0b', await passwords.hash('nul\0a'))).toBe(false)
  })

  test('the policy is part of it', () => {
    expect(create().policy('short', { email: 'a@b', displayName: null })).toHaveLength(1)
    expect(create({ minimumLength: 8 }).policy('12345678', { email: 'a@b', displayName: null })).toEqual([])
  })
})

describe('a stored hash is not trusted', () => {
  test.each([
    ['4 GiB of memory', phc('m=4194304,t=1,p=1')],
    ['just over 256 MiB', phc('m=262145,t=1,p=1')],
    ['11 passes', phc('m=8,t=11,p=1')],
    ['4 billion passes', phc('m=8,t=4294967295,p=1')],
    ['17 lanes', phc('m=1024,t=1,p=17')],
    ['no passes', phc('m=8,t=0,p=1')],
    ['another version', phc('m=8,t=1,p=1').replace('v=19', 'v=16')],
    ['argon2i', phc('m=8,t=1,p=1').replace('argon2id', 'argon2i')],
    ['bcrypt', '$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy'],
    ['something after it', `${phc('m=8,t=1,p=1')}\n`],
    ['plain text', 'correct horse battery'],
    ['nothing', ''],
  ])('%s: never handed to argon2, does not match, and costs what any other does', async (_, hash) => {
    const { argon2, verified } = watchArgon2()
    expect(await create({ argon2 }).verify('correct horse battery', hash)).toBe(false)
    expect(verified).toHaveLength(1)
    expect(verified).not.toContain(hash)
    expect(readCost(verified[0] ?? '')).toEqual({ ...cheap, parallelism: 1 })
  })

  test('base64 that is none is no match, and no error', async () => {
    const spoilt = `$argon2id$v=19$m=8,t=1,p=1$${'A'.repeat(41)}$${salt}`
    await expect(Bun.password.verify('x', spoilt)).rejects.toThrow()
    expect(await create().verify('x', spoilt)).toBe(false)
  })

  test('no text at all makes it throw', async () => {
    const passwords = create()
    const piece = fc.constantFrom('$', 'argon2id', 'v=19', 'm=8', 't=1', 'p=1', ',', salt, 'A', '=')
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string(),
          fc.array(piece).map(pieces => pieces.join('')),
        ),
        async hash => {
          expect(await passwords.verify('x', hash)).toBe(false)
        },
      ),
    )
  })

  test('a hash from elsewhere within the bounds still counts', async () => {
    // From the tests of the reference implementation: 2 lanes, a salt of 8 octets.
    const hash = '$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc'
    expect(await create().verify('password', hash)).toBe(true)
    expect(await create().verify('Password', hash)).toBe(false)
  })

  test('when argon2 itself fails the error comes through, not a refusal', async () => {
    const broken: Argon2 = {
      hash: Bun.password.hash,
      verify: async () => Promise.reject(new Error('no memory')),
    }
    const passwords = create({ argon2: broken })
    await expect(passwords.verify('x', phc('m=8,t=1,p=1'))).rejects.toThrow('no memory')
  })
})

test.each([
  ['m=8,t=1,p=1', false],
  ['m=9,t=1,p=1', true],
  ['m=7,t=1,p=1', true],
  ['m=8,t=2,p=1', true],
  ['m=8,t=1,p=2', true],
])('PWD-06: a hash of %s needs to be made anew: %p', (parameters, needed) => {
  expect(create().needsRehash(phc(parameters))).toBe(needed)
})

test('PWD-06: what is no argon2id hash needs to be made anew', () => {
  expect(create().needsRehash('$2b$10$x')).toBe(true)
})

test('PWD-08: the dummy is verified once, with the current parameters', async () => {
  const { argon2, hashed, verified } = watchArgon2()
  await create({ argon2, parameters: { memoryCost: 16, timeCost: 3 } }).verifyAgainstDummy('correct horse')
  expect(hashed).toEqual([])
  expect(verified.map(readCost)).toEqual([{ memoryCost: 16, timeCost: 3, parallelism: 1 }])
})

describe('PWD-07: hashes in flight are capped and the queue is bounded', () => {
  /** Argon2 whose calls end when they are told to. */
  const holdArgon2 = () => {
    const held: (() => void)[] = []
    let begun = 0
    const hold = async <Result>(result: Result): Promise<Result> => {
      begun += 1
      await new Promise<void>(resolve => held.push(resolve))
      return result
    }
    const argon2: Argon2 = { hash: () => hold('hash'), verify: () => hold(true) }
    return { argon2, held, begun: () => begun }
  }

  test('beyond the queue a call fails at once, before anything is hashed', async () => {
    const { argon2, held, begun } = holdArgon2()
    const passwords = create({ argon2, concurrency: 2, queueLimit: 3 })
    const taken = [
      passwords.hash('a'),
      passwords.verify('b', phc('m=8,t=1,p=1')),
      passwords.verifyAgainstDummy('c'),
      passwords.hash('d'),
      passwords.hash('e'),
    ]
    for (const call of [
      () => passwords.hash('f'),
      () => passwords.verify('g', phc('m=8,t=1,p=1')),
      () => passwords.verifyAgainstDummy('h'),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'overloaded', retryAfterSeconds: 1 })
    }
    expect(begun()).toBe(2)

    for (let finished = 0; finished < 5; finished += 1) {
      expect(begun()).toBe(Math.min(finished + 2, 5))
      held[finished]?.()
      await Bun.sleep(0)
    }
    await Promise.all(taken)
    expect(begun()).toBe(5)
  })

  test('the queue is four times the concurrency by default', async () => {
    const { argon2, held, begun } = holdArgon2()
    const passwords = create({ argon2, concurrency: 1 })
    const taken = Array.from({ length: 5 }, () => passwords.hash('a'))
    await expect(passwords.hash('a')).rejects.toMatchObject({ code: 'overloaded' })
    for (let finished = 0; finished < 5; finished += 1) {
      held[finished]?.()
      await Bun.sleep(0)
    }
    await Promise.all(taken)
    expect(begun()).toBe(5)
  })

  test('a hash that fails gives its place back', async () => {
    const failing: Argon2 = { hash: () => Promise.reject(new Error('failed')), verify: async () => true }
    const passwords = create({ argon2: failing, concurrency: 1, queueLimit: 0 })
    await expect(passwords.hash('a')).rejects.toThrow('failed')
    await expect(passwords.hash('a')).rejects.toThrow('failed')
    expect(await passwords.verify('a', phc('m=8,t=1,p=1'))).toBe(true)
  })

  test('a concurrency under which nothing would ever run can not be configured', () => {
    for (const concurrency of [0, -1, Number.NaN]) expect(() => create({ concurrency })).toThrow(RangeError)
  })
})
