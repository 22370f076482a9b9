/* Types that judge the types of an Eden client; the generated files beside this one are made of them. */

/** A call of an Eden client. */
export type Call = (...args: never[]) => Promise<{ data: unknown; error: unknown }>

type Answer<Route extends Call> = Awaited<ReturnType<Route>>
type Data<Route extends Call> = Extract<Answer<Route>, { error: null }>['data']
type Refused<Route extends Call> = Exclude<Answer<Route>['error'], null>
type Value<Route extends Call, Status> =
  Extract<Refused<Route>, { status: Status }> extends { value: infer V } ? V : never

export type IsAny<T> = 0 extends 1 & T ? true : false

/** Whether two types take the same values. `any` equals itself alone, though it takes all. */
export type Equal<A, B> = [IsAny<A>, IsAny<B>] extends [false, false]
  ? [A, B] extends [B, A]
    ? true
    : false
  : [IsAny<A>, IsAny<B>] extends [true, true]
    ? true
    : false

/** Whether `any` stands anywhere in a type. */
export type HoldsAny<T> = IsAny<T> extends true ? true : true extends Within<T> ? true : false
type Within<T> = T extends readonly (infer Item)[]
  ? HoldsAny<Item>
  : T extends object
    ? { [Key in keyof T]-?: HoldsAny<T[Key]> }[keyof T]
    : false

/** What is wrong with a type that should be another; `never` when nothing is. */
type WrongType<Name extends string | number, Given, Expected> =
  | (Equal<Given, Expected> extends true ? never : Name)
  | (HoldsAny<Given> extends true ? `any in ${Name}` : never)

export type WrongData<Route extends Call, Expected> = WrongType<'data', Data<Route>, Expected>

export type WrongBody<Route extends Call, Expected> = WrongType<'body', Parameters<Route>[0], Expected>

/** Wrong is a query in which any value will do, and a call that takes none. */
export type AnyQuery<Route extends Call> =
  Exclude<Parameters<Route>[0], undefined> extends {
    query?: infer Query
  }
    ? HoldsAny<Query> extends true
      ? 'any in query'
      : unknown extends Query
        ? 'no query'
        : never
    : 'no query'

/** Wrong are statuses with another error than expected, those that lack one, and any others. */
export type WrongErrors<Route extends Call, Status extends number, Expected> =
  | { [S in Status]: WrongType<S, Value<Route, S>, Expected> }[Status]
  | (Refused<Route> extends { status: infer Given } ? Exclude<Given, Status> : 'no status')

/** Wrong is a union of literals that any string is one of. */
export type AnyString<Text extends string> = string extends Text ? 'any string' : never

/** Compiles while there is nothing in it. */
export type None<Nothing extends never> = Nothing
