/** Plain @elysiajs/jwt in a bare Elysia route: `elysia-jwt.ts <secret>`. It pins no issuer, audience or type. */
import { jwt } from '@elysiajs/jwt'
import { Elysia } from 'elysia'
import { answer, path } from '../servers/answer.ts'

const app = new Elysia()
  .use(jwt({ secret: process.argv[2] ?? '' }))
  .get(path, async ({ jwt, request, status }) => {
    const token = request.headers.get('authorization')?.slice('Bearer '.length)
    const claims = await jwt.verify(token)
    return claims === false ? status(401) : answer()
  })
  .listen({ hostname: '127.0.0.1', port: 0, reusePort: false })
process.stdout.write(`${JSON.stringify({ msg: 'listening', port: app.server?.port })}\n`)
