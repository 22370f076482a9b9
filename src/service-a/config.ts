import { type Static, Type } from '@sinclair/typebox'
import { commonSettings, type Env, isLoopbackHost, readConfig, setting } from '../lib/config.ts'

/** Settings of the role `service-a`. */
export const ServiceConfig = Type.Object({
  ...commonSettings({ port: 3001, database: './data/service-a.sqlite' }),
  LOGIN_URL: setting.url({
    description:
      'Address of `login`, without a slash at its end: where users are managed and signing keys come from.',
    mend: 'the address of login, such as https://login.example',
    default: 'http://127.0.0.1:3000',
  }),
  ISSUER: Type.Optional(
    setting.url({
      description: 'The `ISSUER` of `login`, where it is not the same as LOGIN_URL.',
      mend: 'what login has as ISSUER',
    }),
  ),
  AUDIENCE: setting.text({
    description: 'Id of this service, one of the `AUDIENCES` of `login`: tokens must be meant for it.',
    mend: 'a name, such as service-a',
    default: 'service-a',
    minLength: 1,
  }),
  API_KEY_PREFIX: setting.text({
    description: 'Begins every key that is made here; tells environments apart, as in `lk_test`.',
    mend: 'a small letter, then up to 15 of a-z, 0-9 and _',
    default: 'lk',
    pattern: '^[a-z][a-z0-9_]{0,15}$',
  }),
  ALLOW_INSECURE_LOGIN: setting.boolean({
    description:
      'Allows plain http to a `login` on another machine. Everyone on the way could then read tokens and forge keys.',
    mend: 'true or false',
    default: false,
  }),
})

export type ServiceConfig = Omit<Static<typeof ServiceConfig>, 'ISSUER'> & { ISSUER: string }

/** @throws ConfigError with every fault. */
export const readServiceConfig = (env: Env): ServiceConfig => {
  const config = readConfig(ServiceConfig, env, ({ LOGIN_URL, ALLOW_INSECURE_LOGIN }) => {
    if (LOGIN_URL === undefined) return []
    // A port beyond 65535, say.
    const address = URL.parse(LOGIN_URL)
    if (address === null)
      return ['LOGIN_URL is not valid: the address of login, such as https://login.example.']
    const { protocol, hostname } = address
    return protocol === 'https:' || ALLOW_INSECURE_LOGIN || isLoopbackHost(hostname)
      ? []
      : ['LOGIN_URL is not https: use https, or set ALLOW_INSECURE_LOGIN=true where the network is your own.']
  })
  return { ...config, ISSUER: config.ISSUER ?? config.LOGIN_URL }
}
