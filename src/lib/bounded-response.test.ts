import { expect, test } from 'bun:test'
import { Type } from '@sinclair/typebox'
import { plainAnswer, readBounded, readChecked } from './bounded-response.ts'

const serve = (fetch: (request: Request) => Response) => Bun.serve({ hostname: '127.0.0.1', port: 0, fetch })

test('a compressed answer is asked not to come, and refused unread and packed when it does', async () => {
  const asked: (string | null)[] = []
  const bomb = Bun.gzipSync(new Uint8Array(8 * 1_048_576))
  const server = serve(request => {
    asked.push(request.headers.get('accept-encoding'))
    return new Response(bomb, { headers: { 'content-encoding': 'gzip' } })
  })
  try {
    const url = `http://127.0.0.1:${server.port}`
    const first = await fetch(url, { ...plainAnswer })
    await expect(readBounded(first, 64_000_000)).rejects.toThrow('The answer is compressed')
    const second = await fetch(url, { ...plainAnswer })
    expect((await second.arrayBuffer()).byteLength).toBe(bomb.byteLength)
    expect(asked).toEqual(['identity', 'identity'])
  } finally {
    await server.stop(true)
  }
})

test.each(['gzip', 'br', 'zstd', 'GZIP', 'gzip, identity', 'x'])(
  'the encoding %s is refused',
  async encoding => {
    const response = new Response('{}', { headers: { 'content-encoding': encoding } })
    await expect(readChecked(response, Type.Object({}), 100)).rejects.toThrow('The answer is compressed')
  },
)

test.each(['identity', 'Identity'])('%s is no encoding', async encoding => {
  const response = new Response('{}', { headers: { 'content-encoding': encoding } })
  expect(await readChecked(response, Type.Object({}), 100)).toEqual({})
})
