/** A member of a JSON object; undefined where there is none. */
export const member = (value: unknown, name: string): unknown => {
  if (typeof value !== 'object' || value === null) return undefined
  const members: Map<string, unknown> = new Map(Object.entries(value))
  return members.get(name)
}

/** A member that is text. @throws Error when it is not. */
export const textOf = (value: unknown, name: string): string => {
  const found = member(value, name)
  if (typeof found === 'string') return found
  throw new Error(`There is no text ${name} in ${JSON.stringify(value)?.slice(0, 500)}`)
}

/** A member that is a list. @throws Error when it is not. */
export const listOf = (value: unknown, name: string): unknown[] => {
  const found = member(value, name)
  if (Array.isArray(found)) return found
  throw new Error(`There is no list ${name} in ${JSON.stringify(value)?.slice(0, 500)}`)
}

/** The value of JSON text, undefined for any other text. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
