import { AsyncLocalStorage } from 'node:async_hooks'
import type { SettingName, SettingSource, Settings } from '../node/home/config.ts'
import type { Home } from '../node/home/home.ts'
import type { Session } from '../session/session.ts'

/** Why a shell tells no events. */
export interface Quiet {
  /** A line shows them. */
  shown: boolean
  /** Somebody wants none: `events off`. */
  muted: boolean
}

/** What a command finds that runs as a line of a shell (the REPL, a script), not as a process of its own. */
export interface ShellContext {
  /** Stays open when the line has ended. */
  session: Session
  home: Home
  settings: Settings
  sources: Record<SettingName, SettingSource>
  /** The node runs in this process, and ends with its shell. */
  ownsNode: boolean
  /** Lines set it. */
  quiet: Quiet
  /** Aborts when the line is cancelled. */
  signal: AbortSignal
  /** Lends the terminal to a question; undefined where there is nobody to ask. */
  ask: (<T>(question: () => Promise<T>) => Promise<T>) | undefined
}

/** Set while a command runs inside a shell. */
export const shellContext = new AsyncLocalStorage<ShellContext>()
