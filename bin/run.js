#!/usr/bin/env node
// This file must run on Node 18 and later, because it reports a Node version that is too old.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The exit code for usage errors: `EXIT_CODES` of src/primitives/errors.ts. */
const USAGE = 2
const [major, minor] = process.versions.node.split('.').map(Number)

if (major < 24 || (major === 24 && minor < 15)) {
  const message = `subnet needs Node 24.15 or newer, this is ${process.version}`
  const [node, program] = ['../node_modules/node/bin/node', 'run.js'].map((path) => fileURLToPath(new URL(path, import.meta.url)))
  const quoted = (path) => (/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`)
  const hint = existsSync(node)
    ? `this starts it on the Node that npm ci installed: ${quoted(node)} ${quoted(program)}`
    : 'in a clone, "npm ci" installs such a Node, and "npx subnet" runs on it'
  const json = process.argv.slice(2).includes('--json')
  const error = { code: 'USAGE', exit: USAGE, message, hint }
  const text = json ? `${JSON.stringify({ error })}\n` : `error: ${message}\nhint: ${hint}\n`
  process[json ? 'stdout' : 'stderr'].write(text)
  process.exitCode = USAGE
} else {
  const { createRequire, enableCompileCache } = await import('node:module')
  const { fromCommand, standInForUser, takeSignals, tellLoadFailure } = await import('./process.js')
  const { setV8Flags } = await import('./v8-flags.js')
  const args = process.argv.slice(2)
  const [command, ...options] = fromCommand(args)
  takeSignals([command, ...options])
  standInForUser()
  setV8Flags(command, options)
  enableCompileCache?.()
  // stack traces are shown at these levels only, and reading source maps takes longer than most commands
  process.setSourceMapsEnabled(/\b(debug|trace)\b/.test([process.env.SUBNET_LOG_LEVEL, ...process.argv].join(' ')))
  let loaded
  try {
    // an import would read the whole file for the names of its exports
    loaded = createRequire(import.meta.url)('../bundle/main.cjs')
  } catch (error) {
    tellLoadFailure(error, args)
  }
  await loaded?.main(args, import.meta.url)
}
