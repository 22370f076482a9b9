/** A bare Elysia route: no headers, no log, no problems. */
import { Elysia } from 'elysia'
import { answer, path } from './answer.ts'

const app = new Elysia().get(path, answer).listen({ hostname: '127.0.0.1', port: 0, reusePort: false })
process.stdout.write(`${JSON.stringify({ msg: 'listening', port: app.server?.port })}\n`)
