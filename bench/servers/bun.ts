/** Raw `Bun.serve`: the least that an answer can cost here. */
import { answer, path } from './answer.ts'

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch: ({ url }) =>
    new URL(url).pathname === path ? Response.json(answer()) : new Response(null, { status: 404 }),
})
process.stdout.write(`${JSON.stringify({ msg: 'listening', port: server.port })}\n`)
