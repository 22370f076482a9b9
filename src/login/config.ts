import { type Static, Type } from '@sinclair/typebox'
import { commonFaults, commonSettings, type Env, isLoopbackHost, readConfig, setting } from '../lib/config.ts'
import { clientIdPattern, maxSecretLength } from './client-model.ts'

/** Settings of the role `login`. */
export const LoginConfig = Type.Object({
  ...commonSettings({ port: 3000, database: './data/login.sqlite' }),
  ISSUER: Type.Optional(
    setting.url({
      description:
        'Public address of this service, without a slash at its end: `iss` of every token. On loopback it is `http://127.0.0.1:PORT` when not set.',
      mend: 'the address that services and clients reach this service by, such as https://login.example',
    }),
  ),
  AUDIENCES: setting.list({
    description:
      'Ids of the services that tokens are good for, separated by commas, each the `AUDIENCE` of one.',
    mend: 'names separated by commas, such as service-a',
    default: ['service-a'],
  }),
  ACCESS_TOKEN_SECONDS: setting.integer({
    description: 'Life of an access token.',
    mend: 'a number from 30 to 3600',
    default: 300,
    minimum: 30,
    maximum: 3_600,
  }),
  ADMIN_EMAIL: Type.Optional(
    setting.text({
      description:
        'Email address of the first administrator, made at a start that finds none. Without it a one-time token is printed instead.',
      mend: 'an email address, together with ADMIN_PASSWORD',
    }),
  ),
  ADMIN_PASSWORD: Type.Optional(
    setting.text({
      description: 'Password of the first administrator.',
      mend: 'a password of 15 characters or more, together with ADMIN_EMAIL',
      secret: true,
    }),
  ),
  CLIENT_ID: Type.Optional(
    setting.text({
      description:
        'Id of a service account that is registered at a start that never saw it: it may read the change feed and ask about tokens. Services take the same two settings.',
      mend: 'cli_ and up to 60 letters, digits, _ or -, together with CLIENT_SECRET',
      pattern: clientIdPattern,
    }),
  ),
  CLIENT_SECRET: Type.Optional(
    setting.text({
      description: 'Secret of that service account.',
      mend: '32 to 256 random characters, such as the output of: openssl rand -hex 32, together with CLIENT_ID',
      secret: true,
      minLength: 32,
      maxLength: maxSecretLength,
    }),
  ),
  PASSWORD_MIN_LENGTH: setting.integer({
    description:
      'Least length of a new password, in characters (NIST SP 800-63B: 15 where it is the only factor).',
    mend: 'a number from 8 to 64',
    default: 15,
    minimum: 8,
    maximum: 64,
  }),
  PASSWORD_MEMORY_KIB: setting.integer({
    description:
      'Memory that hashing a password takes, KiB (argon2id, two passes). Hashes are raised at the next sign-in.',
    mend: 'a number from 19456 (the least that OWASP advises) to 262144',
    default: 19_456,
    minimum: 19_456,
    maximum: 262_144,
  }),
  CHANGE_RETENTION_HOURS: setting.integer({
    description:
      'How long the change feed goes back, hours. A service that was away for longer starts again from a snapshot.',
    mend: 'a number from 1 to 8760',
    default: 168,
    minimum: 1,
    maximum: 8_760,
  }),
  HASH_CONCURRENCY: Type.Optional(
    setting.integer({
      description: 'Passwords hashed at the same time; one less than there are cores when not set.',
      mend: 'a number from 1 to 64',
      minimum: 1,
      maximum: 64,
    }),
  ),
})

// `aud` holds 32 of them, this service among them, and a token of more than 8 KiB is taken by nobody.
const maxAudiences = 31
const maxAudienceText = 4_096

/** With everything settled that other settings decide. */
export type LoginConfig = Omit<Static<typeof LoginConfig>, 'ISSUER' | 'HASH_CONCURRENCY'> & {
  ISSUER: string
  HASH_CONCURRENCY: number
}

/** @throws ConfigError with every fault. `cores` is how many the machine has. */
export const readLoginConfig = (env: Env, cores: number): LoginConfig => {
  const config = readConfig(
    LoginConfig,
    env,
    ({
      HOST = '',
      PORT,
      ISSUER,
      AUDIENCES = [],
      ADMIN_EMAIL,
      ADMIN_PASSWORD,
      CLIENT_ID,
      CLIENT_SECRET,
      TRUSTED_PROXIES = [],
    }) => [
      ...commonFaults({ TRUSTED_PROXIES }),
      ...(ISSUER === undefined && (PORT === 0 || !isLoopbackHost(HOST))
        ? [
            'ISSUER is not set: with PORT 0 or a HOST that is not loopback, say by which address this service is reached.',
          ]
        : []),
      ...((ADMIN_EMAIL === undefined) === (ADMIN_PASSWORD === undefined)
        ? []
        : ['ADMIN_EMAIL and ADMIN_PASSWORD belong together: set both or neither.']),
      ...((CLIENT_ID === undefined) === (CLIENT_SECRET === undefined)
        ? []
        : ['CLIENT_ID and CLIENT_SECRET belong together: set both or neither.']),
      ...(AUDIENCES.length <= maxAudiences && AUDIENCES.join().length <= maxAudienceText
        ? []
        : [
            `AUDIENCES are more than a token can hold: ${maxAudiences} names, ${maxAudienceText} characters in all.`,
          ]),
    ],
  )
  return {
    ...config,
    ISSUER: config.ISSUER ?? `http://127.0.0.1:${config.PORT}`,
    // One core is left to everything that is not hashing.
    HASH_CONCURRENCY: config.HASH_CONCURRENCY ?? Math.max(1, cores - 1),
  }
}
