import type { Context } from 'elysia'
import { StatusMap } from 'elysia'

/** Credits that a request costs a metered key: so many for each, or worked out of one. Whole, and 0 or more. */
export type Cost<Principal> = number | ((request: CostedRequest<Principal>) => number)

/** What the cost of a request is worked out of; it has been found valid. */
export type CostedRequest<Principal> = {
  readonly principal: Principal
  readonly request: Request
  readonly body: unknown
  readonly query: Readonly<Record<string, unknown>>
  readonly params: Readonly<Record<string, unknown>>
}

const isCost = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0

/** @throws TypeError for a fixed cost that is none. */
export const checkCost = (cost: unknown): void => {
  if (typeof cost === 'function' || isCost(cost)) return
  throw new TypeError(`cost takes a whole number, 0 or more, or a function, not ${String(cost)}`)
}

/** @throws TypeError for what a function has made that is no cost: a fault of the app and not of its caller. */
export const toCost = (value: unknown): number => {
  if (isCost(value)) return value
  throw new TypeError('The cost of a request must be a whole number, 0 or more')
}

const statuses: Readonly<Record<string, number>> = StatusMap

/** The status that an answer has: that of a Response, where the handler made one of its own. An Error is none. */
export const statusOf = (response: unknown, { status }: Context['set']): number => {
  if (response instanceof Response) return response.status
  if (response instanceof Error) return 500
  return typeof status === 'string' ? (statuses[status] ?? 200) : (status ?? 200)
}
