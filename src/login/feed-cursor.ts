import { createHmac, timingSafeEqual } from 'node:crypto'
import { Failure } from '../lib/failure.ts'
import type { LoginCode } from './errors.ts'

/** A place in a history: a change, or with sequence 0 and no nonce the time before the first one. */
export type Point = {
  readonly generation: string
  readonly sequence: number
  /** Of the row with this sequence: another history has another one there. */
  readonly nonce: string
}

/** The parts of a snapshot, in the order in which they are told. */
export const sections = ['users', 'clients', 'sessions', 'tokens'] as const
export type Section = (typeof sections)[number]

/** What a snapshot has told so far: the point it began at, and the last row of a section. */
export type SnapshotPosition = Point & {
  readonly section: Section
  /** What rows are in the order of before their ids, milliseconds since the epoch; 0 where that is nothing. */
  readonly time: number
  readonly id: string
}

/** The history that a database holds, and the key that authenticates places in it. */
export type Generation = { readonly generation: string; readonly cursorKey: string }

const macBytes = 16
const macOf = (text: string, key: string): Buffer =>
  createHmac('sha256', Buffer.from(key, 'base64url')).update(text).digest().subarray(0, macBytes)

const seal = (text: string, key: string): string =>
  Buffer.concat([macOf(text, key), Buffer.from(text)]).toString('base64url')

// The first letter keeps one kind from being taken for the other.
const pointForm = /^c ([\w-]{1,43}) (\d{1,16}) ([\w-]{0,32})$/
const positionForm =
  /^s ([\w-]{1,43}) (\d{1,16}) ([\w-]{0,32}) (users|clients|sessions|tokens) (\d{1,16}) (\S*)$/

const pointText = ({ generation, sequence, nonce }: Point): string => `${generation} ${sequence} ${nonce}`

/** Opaque to whoever gets it. */
export const encodePoint = (point: Point, key: string): string => seal(`c ${pointText(point)}`, key)

/** Opaque to whoever gets it. */
export const encodePosition = (position: SnapshotPosition, key: string): string =>
  seal(`s ${pointText(position)} ${position.section} ${position.time} ${position.id}`, key)

const invalid = (field: string) =>
  new Failure<LoginCode | 'cursor_invalid'>('cursor_invalid', {
    errors: [{ field, rule: 'must be one that this feed gave out' }],
  })

type Opened = { readonly point: Point; readonly rest: readonly string[] }

/**
 * A place that we gave out for this history.
 *
 * @throws Failure `resync_required` for one of another history, whose key we need not have; `cursor_invalid` for
 * anything else.
 */
const open = (
  sealed: string,
  form: RegExp,
  field: string,
  { generation: ours, cursorKey }: Generation,
): Opened => {
  const bytes = Buffer.from(sealed, 'base64url')
  // Decoding base64url forgives much, so that one place would have many texts.
  if (bytes.byteLength <= macBytes || bytes.toString('base64url') !== sealed) throw invalid(field)
  const text = bytes.toString('utf8', macBytes)
  const [, generation, number, nonce, ...rest] = form.exec(text) ?? []
  if (generation === undefined || number === undefined || nonce === undefined) throw invalid(field)
  if (generation !== ours) throw new Failure<LoginCode>('resync_required')
  if (!timingSafeEqual(bytes.subarray(0, macBytes), macOf(text, cursorKey))) throw invalid(field)
  return { point: { generation, sequence: Number(number), nonce }, rest }
}

/** @throws Failure `resync_required`, `cursor_invalid`. */
export const decodePoint = (cursor: string, generation: Generation): Point =>
  open(cursor, pointForm, 'after', generation).point

/** @throws Failure `resync_required`, `cursor_invalid`. */
export const decodePosition = (page: string, generation: Generation): SnapshotPosition => {
  const { point, rest } = open(page, positionForm, 'page', generation)
  const [name, time, id = ''] = rest
  const section = sections.find(each => each === name)
  if (section === undefined) throw invalid('page')
  return { ...point, section, time: Number(time), id }
}
