/**
 * A caller: signs in as a person, makes a key for a machine, and uses it as the machine would.
 *
 *   EMAIL=admin@example.com PASSWORD=… bun examples/service-b/index.ts
 */
import { createLoginClient } from 'latchkey/login/client'
import { createServiceAClient } from 'latchkey/service-a/client'

const { LOGIN_URL = 'http://127.0.0.1:3000', SERVICE_A_URL = 'http://127.0.0.1:3001' } = process.env
const { EMAIL: email = '', PASSWORD: password = '' } = process.env

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

/** The data of an answer, or the problem as an error: `code` is one of a known set. */
const need = <Data>({
  data,
  error,
}: {
  data: Data | null
  error: { value: { code: string } } | null
}): Data => {
  if (data === null) throw new Error(`refused: ${error?.value.code}`)
  return data
}

const { access_token: token } = need(await createLoginClient(LOGIN_URL).auth.login.post({ email, password }))
say(`signed in as ${email}`)

const person = createServiceAClient(SERVICE_A_URL, { headers: { authorization: `Bearer ${token}` } })
const { id, key } = need(
  await person['api-keys'].post({ name: 'service-b', permissions: ['documents:read', 'documents:write'] }),
)
say(`made ${id}`)

const machine = createServiceAClient(SERVICE_A_URL, { headers: { 'x-api-key': key } })
need(await machine.documents({ name: 'settings' }).put({ colour: 'blue' }))
say(`wrote and read: ${JSON.stringify(need(await machine.documents({ name: 'settings' }).get()))}`)

await person['api-keys']({ id }).delete()
const { error } = await machine.documents({ name: 'settings' }).get()
say(`after the key was revoked: ${error?.status} ${error?.value.code}`)
