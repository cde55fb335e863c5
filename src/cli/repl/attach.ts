import type { Config } from '@oclif/core/config'
import chalk from 'chalk'
import { SUCCESS, UsageError } from '../../primitives/errors.ts'
import { START_EVENTS } from '../../session/event-types.ts'
import type { NodeEvent } from '../../session/session.ts'
import type { ShellContext } from '../shell-context.ts'
import { wrapped } from '../text/render.ts'
import { EventFeed } from './event-feed.ts'
import { describeEvent } from './events.ts'
import { History } from './history.ts'
import { LineRunner } from './line-runner.ts'
import { PeerLabels } from './peer-labels.ts'
import { Repl } from './repl.ts'
import { checkScript, runScript } from './script.ts'

export interface AttachInit {
  context: Omit<ShellContext, 'signal' | 'ask' | 'quiet' | 'ownsNode'>
  config: Config
  json: boolean
  script: string | undefined
  keepGoing: boolean
  /** Aborts when a signal ends the process. */
  signal: AbortSignal
}

/** Interval between two reads of the aliases while events arrive, in milliseconds. */
const ALIASES_EVERY_MS = 1_000
/** The events shown above the prompt. Heartbeats are too frequent: they would hide all others. */
const SHOWN_EVENTS = START_EVENTS.filter((event) => event !== 'heartbeat')

/**
 * Opens a shell, or runs a script, on the node that runs in the home. It ends with the node; the node continues when the shell ends.
 * Returns the exit code.
 * @throws NodeError NOT_RUNNING, also if the node ends unexpectedly; UsageError if there is neither a terminal nor a script
 */
export async function attach({ context, config, json, script, keepGoing, signal }: AttachInit): Promise<number> {
  await checkScript(script)
  const [left, gone] = [new AbortController(), new AbortController()]
  const events = context.session.events({ types: ['ready', ...SHOWN_EVENTS], signal: AbortSignal.any([signal, left.signal]) })
  const telling = events[Symbol.asyncIterator]()
  const [ready] = (await telling.next()).value as NodeEvent[]
  if (script == null && (json || !process.stdin.isTTY || !process.stdout.isTTY)) {
    left.abort(new Error('there is no shell'))
    throw new UsageError('attach needs a terminal for its shell', { hint: '--script FILE|- runs lines instead' })
  }
  const quiet = { shown: false, muted: false }
  const runner = new LineRunner({ config, json, context: { ...context, quiet, ownsNode: false } })
  const ends = AbortSignal.any([signal, gone.signal])
  let tell = async (_: NodeEvent): Promise<void> => undefined
  let failure: unknown
  let isGone = false
  let code: number = SUCCESS
  const following = follow(telling, async (event) => tell(event))
    .catch((error) => {
      failure = error
    })
    .finally(() => gone.abort())
  try {
    if (script != null) {
      return await runScript(script, runner, { signal: ends, json, keepGoing })
    }
    const { session, home } = context
    const history = await History.open(home)
    process.stdout.write(`attached to ${describeEvent(ready as NodeEvent).replace('ready: ', '')}\n`)
    process.stdout.write(
      `${chalk.dim(wrapped('"help" lists the commands, Tab completes, Ctrl-D leaves the node running, "stop" stops it', process.stdout.columns))}\n`,
    )
    const repl = new Repl({ runner, config, session, history, leavesNode: true })
    const labels = new PeerLabels(session.aliases, ALIASES_EVERY_MS)
    const feed = new EventFeed({
      tell: (line, how) => repl.tell(chalk.dim(line), how),
      isMuted: () => quiet.shown || quiet.muted,
      labelOf: labels.of,
    })
    tell = async (event) => {
      await (event.event === 'stopping' ? undefined : labels.refresh())
      feed.take(event)
    }
    code = await repl.run(ends)
  } finally {
    isGone = gone.signal.aborted
    left.abort(new Error('the shell ends'))
    await following
  }
  if (isGone && !signal.aborted) {
    if (failure != null) {
      throw failure
    }
    process.stderr.write('the node has stopped\n')
  }
  return code
}

async function follow(events: AsyncIterator<NodeEvent[]>, tell: (event: NodeEvent) => Promise<void>): Promise<void> {
  for (let next = await events.next(); next.done !== true; next = await events.next()) {
    for (const event of next.value) {
      await tell(event)
    }
  }
}
