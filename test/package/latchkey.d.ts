/*
 * What examples/third-service imports, so that it is checked with everything else: a folder with a package.json of
 * its own does not find the package by the name of this one. Where the package is installed, its own declarations
 * are there instead, and this file is not.
 */
declare module 'latchkey/apikey' {
  type Module = typeof import('../../src/apikey/index.ts')
  export type Apikey<Permission extends string> = import('../../src/apikey/index.ts').Apikey<Permission>
  export const apikey: Module['apikey']
  export const apikeyRoutes: Module['apikeyRoutes']
  export const problems: Module['problems']
}
