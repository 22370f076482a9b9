import { expect, test } from 'bun:test'
import { typeTests } from '../../scripts/generate-type-tests.ts'
import { apikeyProblems } from '../apikey/index.ts'
import { commonProblems } from '../lib/problem.ts'
import { loginProblems } from '../login/errors.ts'
import { serviceProblems } from '../service-a/errors.ts'

const tests = typeTests()

test.each(Object.keys(tests))('each route of an app has its checks of the client’s types: %s', async file => {
  const committed = Bun.file(`${import.meta.dir}/../../test/types/${file}`)
  // Else: `bun scripts/generate-type-tests.ts`, and look at what has changed.
  expect(tests[file]).toBe(await committed.text())
})

test.each([
  ['login-client.ts', { ...commonProblems, ...loginProblems }],
  ['service-a-client.ts', { ...apikeyProblems, ...serviceProblems }],
])('each status that an error can have is known to the types: %s', (file, problems) => {
  const checked = /^type Status = (.*)$/m.exec(tests[file] ?? '')?.[1]?.split(' | ')
  for (const { status } of Object.values(problems)) expect(checked).toContain(String(status))
})
