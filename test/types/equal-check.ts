/* The types of equal.ts, on clients whose faults are known: were they blind, all that rests on them would be. */
import type {
  AnyQuery,
  AnyString,
  Equal,
  HoldsAny,
  None,
  WrongBody,
  WrongData,
  WrongErrors,
} from './equal.ts'

/** `any`, which is not to be written here. */
type Anything = ReturnType<typeof JSON.parse>

type True<T extends true> = T
type False<T extends false> = T

export type Equality = [
  True<Equal<'a' | 'b', 'b' | 'a'>>,
  True<Equal<{ a: string } & { b?: number }, { b?: number; a: string }>>,
  True<Equal<Anything, Anything>>,
  True<Equal<unknown, unknown>>,
  False<Equal<Anything, string>>,
  False<Equal<string, Anything>>,
  False<Equal<Anything, unknown>>,
  False<Equal<unknown, string>>,
  False<Equal<never, string>>,
  False<Equal<'a', string>>,
  False<Equal<{ a: string }, { a?: string }>>,
  False<Equal<{ a: string }, { a: string; b: number }>>,
]

export type AnyInside = [
  True<HoldsAny<Anything>>,
  True<HoldsAny<{ a: { b: Anything }[] }>>,
  True<HoldsAny<{ a?: Anything }>>,
  True<HoldsAny<string | { a: Anything }>>,
  False<HoldsAny<{ a: string; b?: { c: unknown }[] }>>,
]

type Client<Data, Error> = (body: {
  a: string
}) => Promise<{ data: Data; error: null } | { data: null; error: Error }>
type Problem = { code: 'x' | 'y' }
type Refusals = { status: 400; value: Problem } | { status: 422; value: Problem }
type Elysias = { status: 400; value: Problem } | { status: 422; value: { type: 'validation' } }

export type Found = [
  None<WrongData<Client<string, Refusals>, string>>,
  True<Equal<WrongData<Client<string | Response, Refusals>, string>, 'data'>>,
  True<Equal<WrongData<Client<Anything, Refusals>, string>, 'data' | 'any in data'>>,
  True<Equal<WrongData<Client<{ a: Anything }, Refusals>, { a: string }>, 'any in data'>>,
  None<WrongBody<Client<string, Refusals>, { a: string }>>,
  True<Equal<WrongBody<Client<string, Refusals>, { a: number }>, 'body'>>,
  None<AnyQuery<(options?: { query?: { a: string } }) => Promise<{ data: null; error: null }>>>,
  True<
    Equal<
      AnyQuery<(options?: { query?: { a: Anything } }) => Promise<{ data: null; error: null }>>,
      'any in query'
    >
  >,
  True<Equal<AnyQuery<(options?: { a: string }) => Promise<{ data: null; error: null }>>, 'no query'>>,
  None<AnyString<'a' | 'b'>>,
  True<Equal<AnyString<string>, 'any string'>>,
  None<WrongErrors<Client<string, Refusals>, 400 | 422, Problem>>,
  True<Equal<WrongErrors<Client<string, Elysias>, 400 | 422, Problem>, 422>>,
  True<Equal<WrongErrors<Client<string, Refusals>, 400 | 409 | 422, Problem>, 409>>,
  True<Equal<WrongErrors<Client<string, Refusals>, 400, Problem>, 422>>,
  True<Equal<WrongErrors<Client<string, Refusals>, 400 | 422, { code: string }>, 400 | 422>>,
  True<Equal<WrongErrors<Client<string, { status: unknown; value: unknown }>, 400, Problem>, unknown>>,
]

// @ts-expect-error: one fault, and it does not compile
export type Fault = None<WrongData<Client<number, Refusals>, string>>
