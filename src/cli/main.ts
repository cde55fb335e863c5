import { Config, run } from '@oclif/core'
import { printError } from './report.ts'

/** Runs one command line. @param root the URL of a file in this package */
export async function main(argv: string[], root: string): Promise<void> {
  // a reader that has enough (`| head -1`) is no error
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') {
      process.exit()
    }
  })
  try {
    const config = await Config.load({ root: new URL('..', root).pathname })
    await run(argv, config)
  } catch (error) {
    printError(error, argv.includes('--json'))
  }
}
