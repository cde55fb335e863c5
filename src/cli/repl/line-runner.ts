import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Config } from '@oclif/core/config'
import { normalizeArgv } from '@oclif/core/help'
import { run } from '@oclif/core/run'
import { SUCCESS, SubnetError } from '../../primitives/errors.ts'
import { shellWords } from '../../primitives/shell-words.ts'
import { commandLine, jsonVersion } from '../command-line.ts'
import { type ShellContext, shellContext } from '../shell-context.ts'
import { Interrupted, printError } from '../text/report.ts'
import { topicWithoutCommand, toUsageError } from '../text/usage.ts'
import { CLEAR, checkBuiltin } from './builtins.ts'
import { shellHelp } from './shell-help.ts'
import { expandTildes } from './tilde.ts'

export interface LineRunnerInit {
  config: Config
  context: Omit<ShellContext, 'signal' | 'ask'>
  /** Answer every line in JSON. */
  json: boolean
}

export interface LineOptions {
  /** Aborts when the line is cancelled. */
  signal: AbortSignal
  ask?: ShellContext['ask']
}

/** Runs each line of a shell as a command, in this process and on its node. */
export class LineRunner {
  readonly #init: LineRunnerInit

  constructor(init: LineRunnerInit) {
    this.#init = init
  }

  /** Returns the exit code of the line; errors are printed. */
  async run(line: string, options: LineOptions): Promise<number> {
    const { json } = this.#init
    process.exitCode = undefined
    try {
      const words = expandTildes(line, shellWords(line))
      const argv = commandLine(words[0] !== 'subnet' ? words : words.length === 1 ? ['--help'] : words.slice(1), this.#init.config)
      if (argv.length > 0) {
        await this.#command(json ? withJson(argv) : argv, options)
      }
    } catch (error) {
      if (!(error instanceof Interrupted)) {
        printError(error instanceof SubnetError ? error : toUsageError(error, this.#init.config, '', true), json)
      }
    }
    // a line that stops the node must be the last line, and the node reports the stop in the next turn
    await nextTurn()
    const code = options.signal.aborted ? CANCELLED : Number(process.exitCode ?? SUCCESS)
    process.exitCode = undefined
    return code
  }

  async #command(argv: string[], { signal, ask }: LineOptions): Promise<void> {
    const { config, context } = this.#init
    checkBuiltin(argv)
    const useless = topicWithoutCommand(argv, config)
    if (useless != null) {
      throw useless
    }
    if (!this.#answered(argv)) {
      await shellContext.run({ ...context, signal, ask }, async () => this.#dispatch(argv))
    }
  }

  /** Answers a line that names no command; false for other lines. */
  #answered(argv: string[]): boolean {
    const { config } = this.#init
    const json = argv.includes('--json')
    const [first, ...more] = argv.filter((word) => word !== '--json')
    if (first === CLEAR) {
      // a script has no screen to clear
      return true
    }
    if (first === '--version' && json) {
      process.stdout.write(`${jsonVersion(config)}\n`)
      return true
    }
    if (first !== '--help' || more.length > 0) {
      return false
    }
    const text = shellHelp(config)
    process.stdout.write(`${json ? JSON.stringify({ help: text }) : text}\n`)
    return true
  }

  async #dispatch(argv: string[]): Promise<void> {
    const { config } = this.#init
    const [id = '', ...rest] = normalizeArgv(config, argv)
    const command = config.findCommand(id)
    const beforeDashes = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest
    if (command == null || beforeDashes.some((word) => word === '--help' || word === '-h')) {
      await run(argv, config)
      return
    }
    // as oclif does, but without reading the package and its commands again for each line
    const Loaded = (await command.load()) as unknown as new (argv: string[], config: Config) => { _run(): Promise<unknown> }
    await new Loaded(rest, config)._run()
  }
}

/** The exit code of a cancelled line, as shells report an interrupted command. */
const CANCELLED = 130

function withJson(argv: string[]): string[] {
  const at = argv.indexOf('--')
  return argv.includes('--json') ? argv : at < 0 ? [...argv, '--json'] : argv.toSpliced(at, 0, '--json')
}
