import { parseJson } from './json.ts'
import { withDatabase } from './sqlite-file.ts'

type Row = { readonly id: string; readonly status: string; readonly rights: string }

/** Each subject with its status and rights, as one text that can be compared. */
const rowsOf = (file: string, query: string): [string, string][] =>
  withDatabase(file, database =>
    database
      .query<Row, []>(query)
      .all()
      .map(({ id, status, rights }) => {
        const list = parseJson(rights)
        const sorted = Array.isArray(list) ? list.map(String).sort() : []
        return [id, status === 'deleted' ? status : [status, ...sorted].join(' ')]
      }),
  )

/** Users and service accounts as `login` has them in its tables. */
export const ownSubjects = (loginFile: string): Map<string, string> =>
  new Map([
    ...rowsOf(
      loginFile,
      'SELECT id, status, (SELECT json_group_array(role) FROM user_roles WHERE user_id = users.id) AS rights FROM users',
    ),
    ...rowsOf(loginFile, 'SELECT id, status, scopes AS rights FROM clients'),
  ])

/** The same as `service-a` has heard of them. */
export const heardSubjects = (serviceFile: string): Map<string, string> =>
  new Map(
    rowsOf(
      serviceFile,
      "SELECT id, status, CASE WHEN id LIKE 'usr%' THEN roles ELSE scopes END AS rights FROM subjects",
    ),
  )

/** In what the two differ, in words; who is gone at `login` is deleted at `service-a`, or was never heard of. */
export const differences = (loginFile: string, serviceFile: string): string[] => {
  const own = ownSubjects(loginFile)
  const heard = heardSubjects(serviceFile)
  return [
    ...[...own]
      .filter(([id, row]) => heard.get(id) !== row)
      .map(([id, row]) => `${id} is "${row}" at login, "${heard.get(id)}" at service-a`),
    ...[...heard]
      .filter(([id, row]) => !own.has(id) && row !== 'deleted')
      .map(([id, row]) => `${id} is gone at login, "${row}" at service-a`),
  ]
}

/** Waits until the two agree, as what counts already is written a moment later. @throws Error with what they differ in. */
export const expectAgreement = async (loginFile: string, serviceFile: string): Promise<void> => {
  for (let tries = 0; tries < 200; tries += 1) {
    if (differences(loginFile, serviceFile).length === 0) return
    await Bun.sleep(10)
  }
  throw new Error(`login and service-a do not agree:\n${differences(loginFile, serviceFile).join('\n')}`)
}
