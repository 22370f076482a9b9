import { addPerson, type Key, makeKey, type Person, type Site, type Tokens } from './site.ts'

/** Somebody who is signed in and has a key to read and write documents. */
export type Known = Person & { readonly made: Key }

export const addKnown = async (
  site: Site & { readonly root: Tokens },
  name: string,
  roles: readonly string[] = ['user'],
): Promise<Known> => {
  const person = await addPerson(site, site.root.accessToken, { name, roles })
  return { ...person, made: await makeKey(site, person.accessToken) }
}
