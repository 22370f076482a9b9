/**
 * The pattern of text that is shown to people: no control or invisible formatting characters, no lone surrogates.
 * Without the `u` flag, since that is how JSON Schema validators and TypeBox compile patterns.
 */
export const printablePattern =
  '^(?:[^\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\uffff\\ud800-\\udfff]|[\\ud800-\\udbff][\\udc00-\\udfff])+$'

/** Commands of a terminal, and marks that turn text around. */
const unprintable = /[\p{C}\u2028\u2029]/gu

/** One line of text that others chose, for a terminal. */
export const forTerminal = (text: string): string => text.replaceAll(unprintable, '?')
