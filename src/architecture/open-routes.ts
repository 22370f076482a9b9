/* The doors that stand open on purpose. Every other route refuses, and closed-routes.test.ts sees to it. */

/** Every route that anybody may call; whoever opens another has to write it here. */
export const open: Readonly<Record<string, readonly string[]>> = {
  login: [
    'GET /openapi.json',
    'GET /livez',
    'GET /readyz',
    // Asks for no credential from this machine; to any other without METRICS_TOKEN it is not there.
    'GET /metrics',
    'GET /.well-known/jwks.json',
    'GET /.well-known/oauth-authorization-server',
    'POST /auth/login',
    'POST /auth/refresh',
    'POST /auth/logout',
    'POST /auth/setup',
    // These ask for a client's secret by themselves, in the words of RFC 6749.
    'POST /oauth/token',
    'POST /oauth/introspect',
    'POST /oauth/revoke',
  ],
  'service-a': ['GET /openapi.json', 'GET /livez', 'GET /readyz', 'GET /metrics'],
  'a host': ['GET /livez'],
}

const keyRoutes = [
  'POST /api-keys',
  'GET /api-keys',
  'GET /api-keys/:id',
  'POST /api-keys/find',
  'GET /api-keys/audit',
  'GET /api-keys/:id/usage',
  'GET /api-keys/:id/credits',
  'POST /api-keys/:id/credits',
  'PATCH /api-keys/:id',
  'DELETE /api-keys/:id',
  'POST /api-keys/:id/rotate',
  // Asks for api-keys:manage by itself, as the others do for keys of somebody else: roles are the host's.
  'POST /api-keys/transfer',
]

/** Every route for which it is enough to be somebody; whoever adds one has to write it here. */
export const forAnyCaller: Readonly<Record<string, readonly string[]>> = {
  login: ['GET /users/me', 'PATCH /users/me', 'DELETE /users/me'],
  // What a proxy asks for is named by the request: /auth/check?permission=…
  'service-a': [
    ...keyRoutes,
    'GET /auth/check',
    'GET /whoami',
    'GET /account',
    'PATCH /account',
    'DELETE /account',
  ],
  'a host': [...keyRoutes, 'GET /auth/check', 'ALL /anything', 'GET /more/things'],
}
