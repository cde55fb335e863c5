import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Config } from '@oclif/core/config'
import type { PJSON } from '@oclif/core/interfaces'
import { run } from '@oclif/core/run'
import chalk, { chalkStderr } from 'chalk'
import { commandLine, jsonVersion } from './command-line.ts'
import { printError, stdoutError } from './text/report.ts'
import { topicWithoutCommand, toUsageError } from './text/usage.ts'

/**
 * The contents of package.json, inserted by `scripts/bundle.mjs`, with the commands of this build. Another build may run at the same time.
 */
declare const PACKAGE_DATA: PJSON

/** The maximum delay of a Node timer, in milliseconds. */
const FOREVER_MS = 2 ** 31 - 1

/** oclif loads the help class from this export. */
export { default as Help } from './text/help.ts'

/** Runs a command line. @param root the URL of a file in a folder of this package */
export async function main(argv: string[], root: string): Promise<void> {
  const json = beforeDashes(argv).includes('--json')
  const stack = /--log-level[= ](debug|trace)/.test(argv.join(' ')) || /^(debug|trace)$/.test(process.env.SUBNET_LOG_LEVEL ?? '')
  // oclif's own listener throws, and the user would never see the error
  process.stdout.removeAllListeners('error').on('error', onStdoutError)
  // a failed stderr leaves no way to report
  process.stderr.on('error', () => undefined)
  process.on('uncaughtException', (error) => {
    printError(error, json, stack)
    process.exit()
  })
  if (process.env.NO_COLOR != null || process.env.TERM === 'dumb' || beforeDashes(argv).includes('--no-color')) {
    chalk.level = 0
    chalkStderr.level = 0
  }
  // deadlines alone do not keep a process alive: Node would exit with 13 in the middle of a command, without a message
  const alive = setInterval(() => undefined, FOREVER_MS)
  // no user plugins exist, and a search would read the user's data directory
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

/** A reader that closes early (`| head -1`) is no error; a failed write is an error. */
function onStdoutError(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') {
    printError(stdoutError(error), false)
  }
  process.exit()
}

function beforeDashes(argv: string[]): string[] {
  return argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv
}
