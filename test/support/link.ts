import { connect, createServer, type Server, type Socket } from 'node:net'

/**
 * A wire between two processes that can be damaged: a TCP proxy on loopback which passes bytes on as they are, until
 * it is told otherwise.
 */
export type Link = {
  readonly port: number
  readonly url: string
  /** Ends every connection with a reset and refuses new ones, as a machine does that went away. */
  cut(): void
  /** Holds back every byte for this long, each way. */
  delay(milliseconds: number): void
  /** Takes connections and requests, and lets no answer through: a wire that is dead and does not say so. */
  mute(): void
  /** Lets the next answer through by half, then resets its connection; again for each until mended. */
  halve(): void
  /** As new. Connections that were open in a mute are reset, as the far end would have given them up. */
  mend(): void
  close(): Promise<void>
}

type Mode = 'whole' | 'cut' | 'mute' | 'halve'

/** Starts a link to a port on loopback. */
export const startLink = async (target: number): Promise<Link> => {
  let mode: Mode = 'whole'
  let pause = 0
  const open = new Set<Socket>()

  const drop = (...sockets: readonly Socket[]): void => {
    for (const socket of sockets) {
      open.delete(socket)
      socket.resetAndDestroy()
    }
  }

  /** Passes bytes on in order, each after the pause that held when it came. */
  const pass = (from: Socket, to: Socket, isAnswer: boolean): void => {
    let last = Promise.resolve()
    from.on('data', (chunk: Buffer) => {
      const wait = pause === 0 ? null : Bun.sleep(pause)
      last = last.then(async () => {
        if (wait !== null) await wait
        if (to.destroyed || (isAnswer && mode === 'mute')) return
        if (isAnswer && mode === 'halve') {
          to.write(chunk.subarray(0, Math.floor(chunk.length / 2)), () => drop(from, to))
          return
        }
        to.write(chunk)
      })
    })
    from.on('end', () => {
      last = last.then(() => {
        if (!to.destroyed) to.end()
      })
    })
    from.on('error', () => drop(from, to))
    from.on('close', () => {
      open.delete(from)
      last = last.then(() => {
        to.destroy()
      })
    })
  }

  const server: Server = createServer({ allowHalfOpen: true }, near => {
    if (mode === 'cut') {
      near.resetAndDestroy()
      return
    }
    const far = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true })
    for (const socket of [near, far]) {
      socket.setNoDelay(true)
      open.add(socket)
    }
    pass(near, far, false)
    pass(far, near, true)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The link has no port')
  const { port } = address

  const change = (next: Mode): void => {
    mode = next
  }
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    cut: () => {
      change('cut')
      drop(...open)
    },
    delay: milliseconds => {
      pause = milliseconds
    },
    mute: () => change('mute'),
    halve: () => change('halve'),
    mend: () => {
      if (mode === 'mute') drop(...open)
      pause = 0
      change('whole')
    },
    close: async () => {
      drop(...open)
      await new Promise(resolve => server.close(resolve))
    },
  }
}
