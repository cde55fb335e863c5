import type { Config } from '@oclif/core/config'
import chalk from 'chalk'
import type { SettingName, SettingSource } from '../../node/home/config.ts'
import type { Logger } from '../../observe/logger.ts'
import { SUCCESS } from '../../primitives/errors.ts'
import { asStartPrints } from '../../session/event-types.ts'
import { type RunningNode, type ServeInit, serve } from '../../session/serve.ts'
import type { NodeEvent } from '../../session/session.ts'
import { ServiceManager } from '../service-manager.ts'
import { jsonText } from '../text/json.ts'
import { stdoutError } from '../text/report.ts'
import { EventFeed } from './event-feed.ts'
import { describeEvent, eventLine } from './events.ts'
import { History } from './history.ts'
import { LineRunner } from './line-runner.ts'
import { Repl } from './repl.ts'
import { checkScript, runScript } from './script.ts'

export interface RunNodeInit {
  init: ServeInit
  sources: Record<SettingName, SettingSource>
  config: Config
  json: boolean
  /** Open a shell, where there is a terminal. */
  repl: boolean
  script: string | undefined
  keepGoing: boolean
  /** Aborts when the process is told to end. */
  interrupted: AbortController
}

/** Runs the node of a home, until it or the process is told to stop; meanwhile its shell, or a script. Gives the exit code. */
export async function runNode(options: RunNodeInit): Promise<number> {
  const { init, interrupted, json, script } = options
  // its reader going away ends the node; a full disk under its log does not, but under what a script answers it does
  process.stdout.removeAllListeners('error').on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || script != null) {
      interrupted.abort(error.code === 'EPIPE' ? undefined : stdoutError(error))
    }
  })
  quieten(init.log.scoped('session'))
  await checkScript(script)
  const manager = ServiceManager.of(process.env, init.log.scoped('session'))
  const node = await serve(init)
  const over = new AbortController()
  node.onStopping(() => {
    over.abort()
    manager?.stopping()
  })
  manager?.ready()
  const signal = AbortSignal.any([interrupted.signal, over.signal])
  try {
    if (script != null) {
      const sink = json ? process.stdout : process.stderr
      const quiet = { shown: false, muted: false }
      // what a program reads is whole
      follow(node, (event) => (quiet.muted && !json ? undefined : sink.write(`${textOf(event, json)}\n`)))
      const running = runScript(script, runnerOf(node, options, quiet), { signal, json, keepGoing: options.keepGoing })
      // told to end, it is that which counts
      return await running.finally(() => interrupted.signal.throwIfAborted())
    }
    if (options.repl && !json && process.stdin.isTTY && process.stdout.isTTY) {
      return await runRepl(node, options, signal)
    }
    follow(node, (event) => process.stdout.write(`${textOf(event, json)}\n`))
    await new Promise<void>((resolve) => (signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve())))
    return SUCCESS
  } finally {
    await node.stop()
  }
}

async function runRepl(node: RunningNode, options: RunNodeInit, signal: AbortSignal): Promise<number> {
  const { session } = node
  const history = await History.open(options.init.home)
  process.stdout.write(`${describeEvent(node.ready)}\n${chalk.dim('"help" lists the commands, Tab completes, Ctrl-D stops the node')}\n`)
  const quiet = { shown: false, muted: false }
  const repl = new Repl({ runner: runnerOf(node, options, quiet), config: options.config, session, history })
  const feed = new EventFeed({ tell: (line, how) => repl.tell(chalk.dim(line), how), isMuted: () => quiet.shown || quiet.muted })
  const running = repl.run(signal)
  // a heartbeat every few seconds would be all that one sees
  node.onEvent((event) => {
    if (event.event !== 'heartbeat' && asStartPrints(event) != null) {
      feed.take(event)
    }
  })
  return running
}

function follow(node: RunningNode, print: (event: NodeEvent) => void): void {
  print(node.ready)
  node.onEvent((event) => {
    const printed = asStartPrints(event)
    if (printed != null) {
      print(printed)
    }
  })
}

function textOf(event: NodeEvent, json: boolean): string {
  return json ? jsonText(event) : eventLine(event)
}

function runnerOf(
  { session }: RunningNode,
  { init, sources, config, json }: RunNodeInit,
  quiet = { shown: false, muted: false },
): LineRunner {
  const { home, settings } = init
  return new LineRunner({ config, json, context: { session, home, settings, sources, quiet, ownsNode: true } })
}

/** Connect's server tells there, and nowhere else, of clients that went away. */
function quieten(log: Logger): void {
  const { error } = console
  console.error = (...args: unknown[]) =>
    /^handler for rpc /.test(String(args[0])) ? log.debug(String(args[0]), args[1]) : error.call(console, ...args)
}
