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
import { PeerLabels } from './peer-labels.ts'
import { Repl } from './repl.ts'
import { checkScript, runScript } from './script.ts'

export interface RunNodeInit {
  init: ServeInit
  sources: Record<SettingName, SettingSource>
  config: Config
  json: boolean
  /** Opens a shell, if there is a terminal. */
  repl: boolean
  script: string | undefined
  keepGoing: boolean
  /** Aborts when a signal ends the process. */
  interrupted: AbortController
}

/** Interval between two reads of the aliases, in milliseconds. It is short because a line of the shell may set an alias. */
const ALIASES_EVERY_MS = 100

/** Runs the node of a home with a shell or a script, until the node or the process is stopped. Returns the exit code. */
export async function runNode(options: RunNodeInit): Promise<number> {
  const { init, interrupted, json, script } = options
  // a closed reader ends the node; other write errors, such as a full disk, end it only if stdout has a script's answers
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
      // output for programs is complete: --json ignores `events off`
      follow(node, json, sink, quiet)
      const running = runScript(script, runnerOf(node, options, quiet), { signal, json, keepGoing: options.keepGoing })
      // a signal takes precedence
      return await running.finally(() => interrupted.signal.throwIfAborted())
    }
    if (options.repl && !json && process.stdin.isTTY && process.stdout.isTTY) {
      return await runRepl(node, options, signal)
    }
    follow(node, json, process.stdout)
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
  const running = repl.run(signal)
  const labels = new PeerLabels(session.aliases, ALIASES_EVERY_MS)
  const feed = new EventFeed({
    tell: (line, how) => repl.tell(chalk.dim(line), how),
    isMuted: () => quiet.shown || quiet.muted,
    labelOf: labels.of,
  })
  // heartbeats are too frequent: they would hide all other events
  node.onEvent((event) => {
    if (event.event !== 'heartbeat' && asStartPrints(event) != null) {
      void (event.event === 'stopping' ? Promise.resolve() : labels.refresh()).then(() => feed.take(event))
    }
  })
  return running
}

function follow(node: RunningNode, json: boolean, sink: NodeJS.WriteStream, quiet = { muted: false }): void {
  const labels = new PeerLabels(node.session.aliases, ALIASES_EVERY_MS)
  const print = (event: NodeEvent, labelOf?: (peerId: string) => string): void => {
    if (json || !quiet.muted) {
      sink.write(`${json ? jsonText(event) : eventLine(event, labelOf)}\n`)
    }
  }
  print(node.ready)
  node.onEvent((event) => {
    const printed = asStartPrints(event)
    if (printed != null) {
      print(printed, labels.of)
      void (json ? undefined : labels.refresh())
    }
  })
  void (json ? undefined : labels.refresh())
}

function runnerOf(
  { session }: RunningNode,
  { init, sources, config, json }: RunNodeInit,
  quiet = { shown: false, muted: false },
): LineRunner {
  const { home, settings } = init
  return new LineRunner({ config, json, context: { session, home, settings, sources, quiet, ownsNode: true } })
}

/** Redirects the console messages about disconnected clients, which Connect's server writes only there. */
function quieten(log: Logger): void {
  const { error } = console
  console.error = (...args: unknown[]) =>
    /^handler for rpc /.test(String(args[0])) ? log.debug(String(args[0]), args[1]) : error.call(console, ...args)
}
