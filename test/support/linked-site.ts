import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type CallOptions, call } from './http.ts'
import { listOf, member } from './json.ts'
import { type Link, startLink } from './link.ts'
import { freePort } from './ports.ts'
import { type Role, type Settings, startRole } from './role.ts'
import { createPassword, type Site, signIn as signInTo, type Tokens } from './site.ts'
import { createStage } from './stage.ts'
import { until } from './wait.ts'

/** A site whose `service-a` reaches `login` by nothing but a wire that can be damaged. */
export type LinkedSite = Site & {
  readonly link: Link
  /** The administrator, signed in before anything else happened. */
  readonly root: Tokens
  readonly loginFile: string
  readonly serviceFile: string
  /** Asks `login` as the administrator. */
  manage(path: string, options?: CallOptions): ReturnType<typeof call>
  /** Asks `service-a`. */
  use(path: string, options?: CallOptions): ReturnType<typeof call>
  /** Waits until `service-a` has applied everything that `login` has written. */
  caughtUp(milliseconds?: number): Promise<void>
  end(): Promise<void>
}

/** What both roles are told of the service account by which `service-a` follows. */
export type Following = { readonly login: Settings; readonly service: Settings }

const followingClient = 'cli_service-a'

export const createFollowing = (): Following => {
  const client = { CLIENT_ID: followingClient, CLIENT_SECRET: randomBytes(32).toString('base64url') }
  return { login: client, service: client }
}

/** Waits until a service says that it may be asked. */
export const isReady = async ({ url }: Role): Promise<boolean> => {
  try {
    return (await call(`${url}/readyz`)).status === 200
  } catch {
    return false
  }
}

/** Whether `service-a` waits for what comes next, with nothing before it unheard. */
const isWaiting = (body: unknown): boolean => {
  const items = listOf(body, 'items').filter(item => member(item, 'clientId') === followingClient)
  return (
    items.length > 0 &&
    items.every(item => member(item, 'behind') === 0 && member(item, 'isWaiting') === true)
  )
}

export type LinkedSiteOptions = {
  readonly login?: Settings
  readonly service?: Settings
}

/** Starts `login`, the wire and `service-a`, and waits until that has its first snapshot. */
export const startLinkedSite = async ({
  login: loginSettings = {},
  service: serviceSettings = {},
}: LinkedSiteOptions = {}): Promise<LinkedSite> => {
  const stage = createStage()
  const admin = { email: 'root@example.com', password: createPassword() }
  const following = createFollowing()
  stage.keepSecret(admin.password, following.service.CLIENT_SECRET ?? '')
  const port = await freePort()
  const link = await startLink(port)
  const end = async (): Promise<void> => {
    await link.close()
    await stage.end()
  }
  try {
    const [login, service] = await Promise.all([
      startRole(stage, {
        role: 'login',
        port,
        settings: {
          ADMIN_EMAIL: admin.email,
          ADMIN_PASSWORD: admin.password,
          ...following.login,
          ...loginSettings,
        },
      }),
      startRole(stage, {
        role: 'service-a',
        settings: {
          LOGIN_URL: link.url,
          ISSUER: `http://127.0.0.1:${port}`,
          ...following.service,
          ...serviceSettings,
        },
      }),
    ])
    await until('service-a has its first snapshot', () => isReady(service))
    const site: Site = { stage, login, service, admin }
    const root = await signInTo(site, admin)
    const manage: LinkedSite['manage'] = (path, options = {}) =>
      call(`${login.url}${path}`, { token: root.accessToken, ...options })
    return {
      ...site,
      link,
      root,
      loginFile: join(login.folder, 'data', 'login.sqlite'),
      serviceFile: join(service.folder, 'data', 'service-a.sqlite'),
      manage,
      use: (path, options = {}) => call(`${service.url}${path}`, options),
      caughtUp: milliseconds =>
        until(
          'service-a has heard everything',
          async () => isWaiting((await manage('/changes/followers')).body),
          milliseconds,
        ),
      end,
    }
  } catch (error) {
    await end()
    throw error
  }
}
