import { createHmac, timingSafeEqual } from 'node:crypto'

/**
 * A refresh token says which session it belongs to and how many came before it, and carries an HMAC of both under
 * the session's own random key. So a session is one row, however often it is refreshed, and yet each token but the
 * last can be told from the last.
 */
export type RefreshToken = { readonly sessionId: string; readonly counter: number; readonly mac: string }

const pattern = /^lkr_([0-9a-f]{32})(0|[1-9a-z][0-9a-z]{0,7})_([A-Za-z0-9_-]{43})$/

const macOf = (sessionId: string, counter: number, refreshKey: string): string =>
  createHmac('sha256', refreshKey).update(`${sessionId}.${counter}`).digest('base64url')

/** 256 random bits. */
export const createRefreshKey = (): string =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')

export const writeRefreshToken = (sessionId: string, counter: number, refreshKey: string): string =>
  `lkr_${sessionId.slice('ses_'.length)}${counter.toString(36)}_${macOf(sessionId, counter, refreshKey)}`

/** The parts of a refresh token, or null for any other text. */
export const readRefreshToken = (text: string): RefreshToken | null => {
  const [, session, counter, mac] = pattern.exec(text) ?? []
  if (session === undefined || counter === undefined || mac === undefined) return null
  return { sessionId: `ses_${session}`, counter: Number.parseInt(counter, 36), mac }
}

/** Whether the session's key made the token. Takes the same time wherever two differ. */
export const isAuthentic = ({ sessionId, counter, mac }: RefreshToken, refreshKey: string): boolean =>
  timingSafeEqual(Buffer.from(mac), Buffer.from(macOf(sessionId, counter, refreshKey)))
