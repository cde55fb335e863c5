import { AsyncLocalStorage } from 'node:async_hooks'
import type { SettingName, SettingSource, Settings } from '../node/home/config.ts'
import type { Home } from '../node/home/home.ts'
import type { Session } from '../session/session.ts'

/** The reasons why a shell shows no events. */
export interface Quiet {
  /** The running line shows events itself. */
  shown: boolean
  /** Set by `events off`. */
  muted: boolean
}

/** The context of a command that runs as a line of a shell (the REPL, a script) instead of a process. */
export interface ShellContext {
  /** Stays open after the line. */
  session: Session
  home: Home
  settings: Settings
  sources: Record<SettingName, SettingSource>
  /** True if the node runs in this process and ends with the shell. */
  ownsNode: boolean
  /** Set by lines. */
  quiet: Quiet
  /** Aborts when the line is cancelled. */
  signal: AbortSignal
  /** Gives the terminal to a question; undefined if no person can answer. */
  ask: (<T>(question: () => Promise<T>) => Promise<T>) | undefined
}

/** Set while a command runs inside a shell. */
export const shellContext = new AsyncLocalStorage<ShellContext>()
