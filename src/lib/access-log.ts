/** What the access log says of a request (LOG-01): who, what, from where, and how it went. */
export type RequestRecord = {
  readonly requestId: string
  readonly method: string
  /** Without query. */
  readonly path: string
  readonly status: number
  /** The code of the problem it was answered with. */
  readonly code: string | null
  /** Owner of the credential, once it was verified. */
  readonly actorId: string | null
  /** Of the client: of the peer, or of whom a trusted proxy asks for. */
  readonly address: string | null
  readonly milliseconds: number
}

/** Text that JSON writes as it stands. */
const plain = /^[\w\-./~:%…]*$/

/** Ends of lines and commands of a terminal that JSON lets stand as they are. */
export const escapeControls = (json: string): string =>
  json.replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

const quote = (text: string | null): string =>
  text === null ? 'null' : plain.test(text) ? `"${text}"` : escapeControls(JSON.stringify(text))

/**
 * Writes lines of the access log, in the form of all other lines. By hand, since it is on the path of every request:
 * a general logger takes several times as long for the same text.
 */
export const createRequestLines = (service: string): ((record: RequestRecord, now: number) => string) => {
  const named = `,"service":${quote(service)},"requestId":`
  let last = Number.NaN
  let time = ''

  return ({ requestId, method, path, status, code, actorId, address, milliseconds }, now) => {
    if (now !== last) {
      last = now
      time = new Date(now).toISOString()
    }
    return `{"level":"info","time":"${time}"${named}${quote(requestId)},"method":${quote(method)},"path":${quote(path)},"status":${status},"code":${quote(code)},"actorId":${quote(actorId)},"address":${quote(address)},"milliseconds":${milliseconds},"msg":"request"}\n`
  }
}
