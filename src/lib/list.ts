/** Whether two lists name the same, in whatever order; in each of them everything stands once. */
export const isSameSet = (left: readonly string[], right: readonly string[]): boolean =>
  left.length === right.length && left.every(item => right.includes(item))
