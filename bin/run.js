#!/usr/bin/env node
// Nothing newer than Node 18 may stand in this file: it is what tells people that their Node is too old.
const [major, minor] = process.versions.node.split('.').map(Number)

if (major < 24 || (major === 24 && minor < 15)) {
  process.stderr.write(
    `error: subnet needs Node 24.15 or newer, this is ${process.version}; in a clone, "npx subnet" runs it on the Node that npm ci installed\n`,
  )
  process.exitCode = 2
} else {
  const { enableCompileCache } = await import('node:module')
  if (process.argv[2] === 'send-task') {
    // payloads, and what a task of a batch leaves behind, are garbage at once: a young generation that V8 keeps small is swept before
    // that piles up; set first of all, as the compile cache is one for each set of flags
    const { setFlagsFromString } = await import('node:v8')
    setFlagsFromString('--semi-space-growth-factor=1')
  }
  enableCompileCache?.()
  // stacks are shown at these levels only, and reading source maps takes longer than most commands
  process.setSourceMapsEnabled(/\b(debug|trace)\b/.test([process.env.SUBNET_LOG_LEVEL, ...process.argv].join(' ')))
  const { main } = await import('../bundle/main.js')
  await main(process.argv.slice(2), import.meta.url)
}
