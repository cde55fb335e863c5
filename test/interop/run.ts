// Runs the interop tests of all stacks, or of those that are given. The last lines name each stack, and how many tests ran or why none did.
// The exit code is 1 where a test failed, and 77 where no stack is here.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { CANNOT_RUN } from './cannot-run.ts'

/** A stack is `<name>-environment.ts`, which makes its peers or says why it cannot, and the tests `<name>-*.interop.ts`. */
const STACKS = ['python', 'template', 'go', 'rust']

const MOCHA = fileURLToPath(new URL('../../node_modules/mocha/bin/mocha.js', import.meta.url))

interface Result {
  stack: string
  code: number
  said: string
}

/** Runs Node to the end, and passes its output on. */
async function node(...args: string[]): Promise<{ code: number; output: string; seconds: number }> {
  const began = performance.now()
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const [from, to] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ] as const) {
    from.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      to.write(chunk)
    })
  }
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.on('error', reject)
  child.on('close', (code) => resolve(code ?? 1))
  return { code: await promise, output, seconds: Math.round((performance.now() - began) / 1_000) }
}

function file(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url))
}

async function runStack(stack: string): Promise<Result> {
  const made = await node(file(`${stack}-environment.ts`))
  const last = made.output.trim().split('\n').at(-1) ?? ''
  if (made.code !== 0) {
    const why = /^\w*Error: .*/m.exec(made.output)?.[0] ?? last
    return { stack, code: made.code, said: `not run: ${why.replace('the interop tests cannot run here: ', '')}` }
  }
  const { code, output, seconds } = await node(MOCHA, file(`${stack}-*.interop.ts`))
  const count = (what: string): string => new RegExp(`^ *(\\d+) ${what}`, 'm').exec(output)?.[1] ?? '0'
  const said = `${count('passing')} passed, ${count('failing')} failed, ${count('pending')} skipped in ${seconds} s`
  return { stack, code, said: `${said}, made ready in ${made.seconds} s: ${last}` }
}

const given = process.argv.slice(2)
const unknown = given.filter((stack) => !STACKS.includes(stack))
if (unknown.length > 0) {
  throw new Error(`there is no stack ${unknown.join(', ')}: there are ${STACKS.join(', ')}`)
}
const results: Result[] = []
for (const stack of given.length > 0 ? given : STACKS) {
  results.push(await runStack(stack))
}
for (const { stack, said } of results) {
  process.stdout.write(`interop ${stack}: ${said}\n`)
}
if (results.some(({ code }) => code !== 0 && code !== CANNOT_RUN)) {
  process.exitCode = 1
} else if (results.every(({ code }) => code === CANNOT_RUN)) {
  process.exitCode = CANNOT_RUN
}
