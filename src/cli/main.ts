import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Config } from '@oclif/core/config'
import type { PJSON } from '@oclif/core/interfaces'
import { run } from '@oclif/core/run'
import chalk, { chalkStderr } from 'chalk'
import { commandLine, jsonVersion } from './command-line.ts'
import { printError, stdoutError } from './text/report.ts'
import { topicWithoutCommand, toUsageError } from './text/usage.ts'

/** Of package.json, put in by `scripts/bundle.mjs`: with the commands of this very build, where another one is made meanwhile. */
declare const PACKAGE_DATA: PJSON

/** The longest that a timer of Node can wait. */
const FOREVER_MS = 2 ** 31 - 1

/** For oclif, which takes it from here. */
export { default as Help } from './text/help.ts'

/** Runs one command line. @param root the URL of a file in a folder of this package */
export async function main(argv: string[], root: string): Promise<void> {
  const json = beforeDashes(argv).includes('--json')
  const stack = /--log-level[= ](debug|trace)/.test(argv.join(' ')) || /^(debug|trace)$/.test(process.env.SUBNET_LOG_LEVEL ?? '')
  // oclif's own listener throws, to nobody who could tell the user
  process.stdout.removeAllListeners('error').on('error', onStdoutError)
  // there is nobody left to tell
  process.stderr.on('error', () => undefined)
  process.on('uncaughtException', (error) => {
    printError(error, json, stack)
    process.exit()
  })
  if (process.env.NO_COLOR != null || process.env.TERM === 'dumb' || beforeDashes(argv).includes('--no-color')) {
    chalk.level = 0
    chalkStderr.level = 0
  }
  // deadlines alone do not keep a process alive: Node would end it in the middle of a command, with 13 and no word
  const alive = setInterval(() => undefined, FOREVER_MS)
  // without plugins: there are none, and looking for them would read the user's data directory
  const config = await Config.load({ root: resolve(fileURLToPath(new URL('..', root))), pjson: PACKAGE_DATA, userPlugins: false })
  try {
    const line = commandLine(argv, config)
    const useless = topicWithoutCommand(line, config)
    if (useless != null) {
      throw useless
    }
    if (json && line[0] === '--version') {
      process.stdout.write(`${jsonVersion(config)}\n`)
      return
    }
    await run(line, config)
  } catch (error) {
    printError(toUsageError(error, config), json, stack)
  } finally {
    clearInterval(alive)
  }
}

/** A reader that has enough (`| head -1`) is no error; an answer that did not arrive is one. */
function onStdoutError(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') {
    printError(stdoutError(error), false)
  }
  process.exit()
}

function beforeDashes(argv: string[]): string[] {
  return argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv
}
