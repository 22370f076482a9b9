import { constants } from 'node:fs'
import { type FileHandle, lstat, open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Something to scan that was come upon, and whether it can be. */
export type Scannable =
  | { readonly kind: 'file'; readonly path: string; readonly chunks: AsyncIterable<Uint8Array> }
  /** Not gone after, or not read: a socket, say, or a device. */
  | { readonly kind: 'link' | 'special'; readonly path: string }
  | { readonly kind: 'unreadable'; readonly path: string; readonly reason: string }

const chunkBytes = 262_144

/** The code of the system, `EACCES` say: its message would tell the path again. */
const reasonOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown'

/** Reading broke off, for this reason. */
export class ReadError extends Error {
  constructor(readonly reason: string) {
    super(reason)
  }
}

/** The same bytes, and a {@link ReadError} when there is trouble with them: not with what is done with them. */
export const readable = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of chunks) yield chunk
  } catch (error) {
    throw new ReadError(reasonOf(error))
  }
}

/** The bytes of a file until it ends, in the same memory again and again. Closes it. */
const chunksOf = async function* (file: FileHandle): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(chunkBytes)
  try {
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, chunkBytes, null)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await file.close()
  }
}

/** Opened only when it is its turn; links and pipes that took the place of a file meanwhile are not. */
const inFolder = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

const openFile = async (path: string, flags: number): Promise<Scannable> => {
  try {
    return { kind: 'file', path, chunks: readable(chunksOf(await open(path, flags))) }
  } catch (error) {
    return { kind: 'unreadable', path, reason: reasonOf(error) }
  }
}

/** Everything in a folder, in the order of names. No link is followed, so that the way never leads out, or round. */
const walk = async function* (folder: string): AsyncGenerator<Scannable> {
  const pending = [folder]
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    try {
      const found = path === folder ? await stat(path) : await lstat(path)
      if (found.isDirectory()) {
        const names = (await readdir(path)).sort().reverse()
        for (const name of names) pending.push(join(path, name))
      } else if (found.isFile()) yield await openFile(path, inFolder)
      else yield { kind: found.isSymbolicLink() ? 'link' : 'special', path }
    } catch (error) {
      yield { kind: 'unreadable', path, reason: reasonOf(error) }
    }
  }
}

/** What a command names to be scanned: a folder with all in it, or whatever else it is, a pipe or a link as well. */
export const scannables = async function* (path: string): AsyncGenerator<Scannable> {
  let isFolder: boolean
  try {
    isFolder = (await stat(path)).isDirectory()
  } catch (error) {
    yield { kind: 'unreadable', path, reason: reasonOf(error) }
    return
  }
  if (isFolder) yield* walk(path)
  else yield await openFile(path, constants.O_RDONLY)
}
