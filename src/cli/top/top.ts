import { setTimeout as delay } from 'node:timers/promises'
import { NodeError } from '../../node/home/errors.ts'
import { describeError, SubnetError } from '../../primitives/errors.ts'
import type { Session, SessionOptions } from '../../session/session.ts'
import { FullScreen } from './full-screen.ts'
import { topScreen } from './top-screen.ts'
import { firstState, type Key, pressed, type TopState, withActivity } from './top-state.ts'

export interface TopInit {
  session: Session
  /** The home's path. */
  home: string
  /** The time limit of each request to the node. @default 5 s */
  answerWithinMs: number | undefined
  /** Aborts when the process or the line of a shell is to end. */
  signal: AbortSignal
}

/** Interval between two requests for the sums. */
const ASK_EVERY_MS = 1_000
/** Interval between two requests for the status, which may query the chain. */
const STATUS_EVERY_MS = 5_000
const ANSWER_WITHIN_MS = 5_000
/** Errors of a node that is stopping or has no free file descriptor. The request is repeated. */
const MAY_PASS: readonly string[] = ['ALREADY_RUNNING', 'TIMEOUT', 'LIMIT_EXCEEDED']

/**
 * Shows the live view of a running node until the user leaves it.
 * @throws NodeError NOT_RUNNING, also when the node stops; the signal's reason
 */
export async function top({ session, home, answerWithinMs: timeoutMs = ANSWER_WITHIN_MS, signal }: TopInit): Promise<void> {
  const left = new AbortController()
  const over = AbortSignal.any([signal, left.signal])
  const options: SessionOptions = { signal: over, timeoutMs }
  const onOlder = (): void => change((state) => ({ ...state, isOlder: true }))
  let isOlder = false
  const first = await session.activity({ signal, timeoutMs, onOlder: () => (isOlder = true) })
  let state: TopState = { ...firstState({ atMs: Date.now(), activity: first }), isOlder }
  const screen = new FullScreen({ onKey: (key) => onKey(key), onGone: () => left.abort(), onBlank: () => draw() })
  const draw = (): void => screen.draw(topScreen(state, screen.size))
  const change = (to: (state: TopState) => TopState): void => {
    state = to(state)
    draw()
  }

  /** Repeats a request until the view is left. Temporary errors are shown; other errors end the view. */
  const follow = async (everyMs: number, ask: () => Promise<void>): Promise<void> => {
    while (!over.aborted) {
      const waited = delay(everyMs, undefined, { signal: over }).catch(() => undefined)
      await ask().catch((error) => {
        if (over.aborted || !(error instanceof SubnetError) || !MAY_PASS.includes(error.code)) {
          throw error
        }
        change((last) => ({ ...last, trouble: describeError(error) }))
      })
      await waited
    }
  }
  const askActivity = async (): Promise<void> => {
    const activity = await session.activity({ ...options, onOlder })
    change((last) => withActivity(last, activity, Date.now()))
  }
  const askStatus = async (): Promise<void> => {
    const status = await session.status(options)
    change((last) => ({ ...last, status }))
    await askOpened()
  }
  const askOpened = async (): Promise<void> => {
    const { page, selected } = state
    if (page === 'peer') {
      const opened = (await session.peers({ ...options, all: true })).find(({ peerId }) => peerId === selected)
      change((last) => (last.selected === selected ? { ...last, opened } : last))
    }
  }
  const onKey = (key: Key): void => {
    const { page } = state
    const [next, effect] = pressed(state, key)
    change(() => next)
    if (effect === 'quit') {
      left.abort()
    } else if (effect === 'suspend') {
      screen.suspend()
    } else if (effect === 'redraw') {
      screen.blank()
      draw()
    }
    if (page !== 'peer' && next.page === 'peer') {
      askOpened().catch(() => undefined)
    }
  }

  screen.enter()
  try {
    const later = delay(ASK_EVERY_MS, undefined, { signal: over }).catch(() => undefined)
    await Promise.all([later.then(async () => follow(ASK_EVERY_MS, askActivity)), follow(STATUS_EVERY_MS, askStatus)])
  } catch (error) {
    signal.throwIfAborted()
    if (!left.signal.aborted) {
      throw isGone(error) ? new NodeError('NOT_RUNNING', `the node of ${home} has stopped`, { cause: error }) : error
    }
  } finally {
    left.abort()
    screen.leave()
  }
  signal.throwIfAborted()
}

function isGone(error: unknown): boolean {
  return error instanceof SubnetError && error.code === 'NOT_RUNNING'
}
