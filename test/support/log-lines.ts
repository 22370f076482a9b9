import { member, parseJson } from './json.ts'
import type { Role } from './role.ts'

/** What the process of a role that runs now, or ran last, has logged. */
export const logOf = (role: Role): unknown[] => role.program().lines.map(parseJson)

/** The paths of the requests that it has answered. */
export const pathsOf = (role: Role): string[] =>
  logOf(role)
    .filter(entry => member(entry, 'msg') === 'request')
    .map(entry => String(member(entry, 'path')))

/** Whether a line of a log calls for attention. */
export const isWarning = (line: string): boolean =>
  ['warn', 'error', 'fatal'].includes(String(member(parseJson(line), 'level')))

/** Lines of its log that call for attention, as text. */
export const warningsOf = (role: Role): string[] => role.program().lines.filter(isWarning)
