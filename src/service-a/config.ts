import { type Static, Type } from '@sinclair/typebox'
import { commonFaults, commonSettings, type Env, isLoopbackHost, readConfig, setting } from '../lib/config.ts'

/** Settings of the role `service-a`. */
export const ServiceConfig = Type.Object({
  ...commonSettings({ port: 3001, database: './data/service-a.sqlite' }),
  LOGIN_URL: setting.url({
    description:
      'Address of `login`, without a slash at its end: where users are managed, and signing keys and the change feed come from.',
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
  CLIENT_ID: Type.Optional(
    setting.text({
      description:
        'The service account by which this service follows the change feed of `login`; it needs the scope `changes:read` and no other. Required unless LOGIN_URL is on loopback.',
      mend: 'the id of a service account of login, the same as CLIENT_ID there',
      pattern: '^cli_[0-9A-Za-z_-]{1,60}$',
    }),
  ),
  CLIENT_SECRET: Type.Optional(
    setting.text({
      description: 'The secret of that service account.',
      mend: 'the secret that login showed, or the same as CLIENT_SECRET there',
      secret: true,
      minLength: 32,
      maxLength: 256,
    }),
  ),
  MAX_STALENESS_SECONDS: setting.integer({
    description: 'How long `login` may go unheard before `STALE_MODE` decides.',
    mend: 'a number from 3 to 86400',
    default: 300,
    minimum: 3,
    maximum: 86_400,
  }),
  STALE_MODE: Type.Union([Type.Literal('allow'), Type.Literal('deny')], {
    description:
      'What happens then: `allow` goes on by what is known, and `/readyz` says degraded; `deny` refuses everybody with 503.',
    mend: 'allow or deny',
    default: 'allow',
  }),
  CREDENTIAL_CACHE_ENTRIES: setting.integer({
    description:
      'Verified keys and tokens that are remembered, about 1 KB each; 0 for none. More keys in use than that are verified again and again.',
    mend: 'a number from 0 to 10000000',
    default: 100_000,
    minimum: 0,
    maximum: 10_000_000,
  }),
  FAILURES_PER_ADDRESS_PER_MINUTE: setting.integer({
    description:
      'Requests of one address (in IPv6 of one /64) without a right credential that are told why they fail, in any minute; those beyond are answered 429. 0 for no such limit. Right credentials always pass.',
    mend: 'a number from 0 to 60000',
    default: 300,
    minimum: 0,
    maximum: 60_000,
  }),
  FAILURES_PER_KEY_PER_MINUTE: setting.integer({
    description: 'The same for wrong keys with one key id, from wherever they come; 0 for no such limit.',
    mend: 'a number from 0 to 60000',
    default: 60,
    minimum: 0,
    maximum: 60_000,
  }),
  KEY_LIMIT_PER_MINUTE: setting.integer({
    description:
      'Requests in any minute of a key that has no limits of its own, and the most that people may let one have, `api-keys:manage` aside; 0 for no limit.',
    mend: 'a number from 0 to 10000',
    default: 6_000,
    minimum: 0,
    maximum: 10_000,
  }),
  KEYS_PER_OWNER: setting.integer({
    description: 'Keys that one owner may have.',
    mend: 'a number from 1 to 10000',
    default: 100,
    minimum: 1,
    maximum: 10_000,
  }),
  KEY_LIFE_DAYS: Type.Optional(
    setting.integer({
      description:
        'How long a key lives whose maker does not say; without it for ever, or as long as KEY_MAX_LIFE_DAYS has it.',
      mend: 'a number of days from 1 to 36500',
      minimum: 1,
      maximum: 36_500,
    }),
  ),
  KEY_MAX_LIFE_DAYS: Type.Optional(
    setting.integer({
      description: 'The longest life that people may give their keys, `api-keys:manage` aside.',
      mend: 'a number of days from 1 to 36500',
      minimum: 1,
      maximum: 36_500,
    }),
  ),
  AUDIT_DAYS: setting.integer({
    description:
      'How long the audit trail of keys goes back, days, and how long a key is kept once it was revoked or has expired; 0 for ever.',
    mend: 'a number from 0 to 36500',
    default: 400,
    minimum: 0,
    maximum: 36_500,
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

type Given = Partial<Static<typeof ServiceConfig>>

const addressFaults = ({ LOGIN_URL = '', ALLOW_INSECURE_LOGIN }: Given): string[] => {
  // A port beyond 65535, say.
  const address = URL.parse(LOGIN_URL)
  if (address === null)
    return ['LOGIN_URL is not valid: the address of login, such as https://login.example.']
  return address.protocol === 'https:' || ALLOW_INSECURE_LOGIN || isLoopbackHost(address.hostname)
    ? []
    : ['LOGIN_URL is not https: use https, or set ALLOW_INSECURE_LOGIN=true where the network is your own.']
}

/** Only on a developer's machine may a service go without the promise that the feed makes. */
const clientFaults = ({ LOGIN_URL = '', CLIENT_ID, CLIENT_SECRET }: Given): string[] => {
  if (CLIENT_ID !== undefined && CLIENT_SECRET !== undefined) return []
  if (CLIENT_ID !== undefined || CLIENT_SECRET !== undefined) {
    return ['CLIENT_ID and CLIENT_SECRET belong together: set both or neither.']
  }
  return isLoopbackHost(URL.parse(LOGIN_URL)?.hostname ?? '')
    ? []
    : [
        'CLIENT_ID and CLIENT_SECRET are not set: those of a service account of login with the scope changes:read, by which this service hears who is disabled there.',
      ]
}

const lifeFaults = ({ KEY_LIFE_DAYS, KEY_MAX_LIFE_DAYS }: Given): string[] =>
  (KEY_LIFE_DAYS ?? 0) <= (KEY_MAX_LIFE_DAYS ?? Number.POSITIVE_INFINITY)
    ? []
    : ['KEY_LIFE_DAYS is more than KEY_MAX_LIFE_DAYS: make it as many days or fewer.']

/** @throws ConfigError with every fault. */
export const readServiceConfig = (env: Env): ServiceConfig => {
  const config = readConfig(ServiceConfig, env, given => [
    ...commonFaults(given),
    // Where the address itself is bad, nothing follows from it.
    ...(given.LOGIN_URL === undefined ? [] : [...addressFaults(given), ...clientFaults(given)]),
    ...lifeFaults(given),
  ])
  return { ...config, ISSUER: config.ISSUER ?? config.LOGIN_URL }
}
