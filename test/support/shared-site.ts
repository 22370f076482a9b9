import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { createFollowing } from './linked-site.ts'
import { type Role, startRole, waitUntilReady } from './role.ts'
import { type Site, startSite } from './site.ts'

/** A site of which several processes serve `service-a` from one database file. */
export type SharedSite = Site & {
  /** The file that they share. */
  readonly serviceFile: string
  /** The first one and those that were added, in this order. */
  readonly services: readonly Role[]
  /** Starts one more on the same file and waits until it judges. */
  addService(): Promise<Role>
}

/** Starts `login` and one `service-a`. Requests are not logged: there are to be many. */
export const startSharedSite = async (): Promise<SharedSite> => {
  const following = createFollowing()
  const secret = randomBytes(32).toString('base64url')
  const quiet = { LOG_LEVEL: 'info' }
  const unlimited = { KEY_LIMIT_PER_MINUTE: '0' }
  const site = await startSite({
    mode: 'HS256',
    secret,
    login: { ...following.login, ...quiet },
    service: { ...following.service, ...quiet, ...unlimited },
  })
  const services = [site.service]
  return {
    ...site,
    serviceFile: join(site.service.folder, 'data', 'service-a.sqlite'),
    services,
    addService: async () => {
      const added = await startRole(site.stage, {
        role: 'service-a',
        folder: site.service.folder,
        settings: {
          LOGIN_URL: site.login.url,
          JWT_SECRET: secret,
          ...following.service,
          ...quiet,
          ...unlimited,
        },
      })
      await waitUntilReady(added.url)
      services.push(added)
      return added
    },
  }
}
