import { TypeGuard } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { Elysia, type TSchema } from 'elysia'
import { defaultBodyLimits, RefusedBody, readJson } from '../lib/body.ts'
import { Failure } from '../lib/failure.ts'
import { fieldErrors } from '../lib/problem.ts'

/**
 * Takes JSON only and refuses what a schema does not name, in any app: an app may have forms read as bodies, and
 * fields stripped before they are looked at. On a route it stands after `permission`, whose hooks go first.
 */
export const strictBody = () =>
  new Elysia({ name: 'latchkey/strict-body' }).macro({
    strict: (schema: TSchema) => ({
      // JSON has been read by the guard; anything else gets here.
      parse: async ({ request }) => readJson(request, defaultBodyLimits),
      transform: ({ body }) => {
        if (body instanceof RefusedBody) throw body.failure
        if (body === undefined && TypeGuard.IsOptional(schema)) return
        if (Value.Check(schema, body)) return
        const errors = fieldErrors(Value.Errors(schema, body)).map(({ field, rule }) => ({
          field: field === '' ? 'body' : field,
          rule,
        }))
        throw new Failure('invalid_request', { errors })
      },
    }),
  })
