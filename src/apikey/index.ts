export { Failure } from '../lib/failure.ts'
export { createRemoteKeys } from '../lib/jwt/jwks.ts'
export {
  createSecretSource,
  createVerifier,
  type KeySource,
  type TokenVerifier,
} from '../lib/jwt/verifier.ts'
export { allows, covers, intersect } from '../lib/permission.ts'
export { createAuthenticate } from './authenticate.ts'
export type { CeilingOptions, KeyLife } from './ceilings.ts'
export { type ApikeyCode, apikeyProblems } from './errors.ts'
export type { EventListener, KeyEvent, KeyEventType } from './events.ts'
export type { FeedLog } from './feed-log.ts'
export { type Health, internalsOf } from './internals.ts'
export type { Authentication } from './judgement.ts'
export type { KeyLimit, KeyMetadata, KeyRecord } from './key-record.ts'
export { createKeys, type IssuedKey, type Keys } from './keys.ts'
export { type ApiKey, toApiKey } from './model.ts'
export type { ApikeyOptions } from './options.ts'
export { type FindOwner, manageKeys, type Owner } from './owners.ts'
export { type Apikey, apikey } from './plugin.ts'
export type { Principal } from './principal.ts'
export { problems } from './problems.ts'
export { type ApikeyRoutesOptions, apikeyRoutes, keyRoutes } from './routes.ts'
export { createSqliteKeyStore, type KeyStore } from './store.ts'
export type { FeedStatus } from './subject-feed.ts'
export type { Subjects } from './subjects.ts'
export { formatKey, keyPattern, parseKey } from './token.ts'
