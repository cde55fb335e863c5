import { printable } from '../primitives/printable.ts'
import { thousandths } from '../primitives/thousandths.ts'
import { isHeard, LOG_SCOPES, type LogFilter, type LogLevel, type LogScope, SCOPE_PREFIX } from './log-filter.ts'

/** The formats of log lines. */
export const LOG_FORMATS = ['text', 'json'] as const

export type LogFormat = (typeof LOG_FORMATS)[number]

/** Fields of a line, by name. An object such as a peer ID or a multiaddr is converted to text only if the line is written. */
export type LogFields = Readonly<Record<string, string | number | boolean | bigint | object | undefined>>

/** One log entry. */
export interface LogEntry {
  timeMs: number
  level: LogLevel
  scope: LogScope
  message: string
  /** An error or text. */
  reason: unknown
  fields: LogFields | undefined
}

/** Formats an entry as one line, without a line break. */
export type WriteEntry = (entry: LogEntry) => string

/** Maximum number of characters of a message or reason, and of a field: both may contain text from peers. */
const MAX_TEXT_LENGTH = 4_096
const MAX_FIELD_LENGTH = 512
const CUT = '…'

/** Values written without quotes in a text line. */
const PLAIN_VALUE = /^[^\s"=]+$/

/** `warn: message: reason`, for people at a terminal. */
export function shortLine({ level, message, reason }: LogEntry): string {
  return `${level}: ${bounded(message)}${behind(reason)}`
}

/** `2026-11-29T15:00:00.000Z debug subnet:call: message: reason peer=… protocol=…`, for debugging. */
export function longLine({ timeMs, level, scope, message, reason, fields }: LogEntry): string {
  const values = valuesOf(fields).map(([name, value]) => ` ${name}=${shownValue(value)}`)
  return `${timeOf(timeMs)} ${level} ${SCOPE_PREFIX}${scope}: ${bounded(message)}${behind(reason)}${values.join('')}`
}

/** One JSON object: `time`, `level`, `scope`, `message`, `reason` if there is one, and the fields. */
export function jsonLine({ timeMs, level, scope, message, reason, fields }: LogEntry): string {
  const told = { time: timeOf(timeMs), level, scope: `${SCOPE_PREFIX}${scope}`, message: bounded(message) }
  const why = reason == null ? {} : { reason: bounded(wordsOf(reason)) }
  return JSON.stringify({ ...Object.fromEntries(valuesOf(fields)), ...told, ...why })
}

/** The formatter for a format. Text lines are short unless the filter shows more than warnings. */
export function lineOf(format: LogFormat, filter: LogFilter): WriteEntry {
  if (format === 'json') {
    return jsonLine
  }
  return LOG_SCOPES.some((scope) => isHeard('info', filter[scope])) ? longLine : shortLine
}

function timeOf(timeMs: number): string {
  return new Date(timeMs).toISOString()
}

function behind(reason: unknown): string {
  return reason == null ? '' : `: ${bounded(wordsOf(reason))}`
}

function wordsOf(reason: unknown): string {
  return reason instanceof Error ? reason.message : String(reason)
}

function valuesOf(fields: LogFields = {}): Array<[string, string | number | boolean]> {
  return Object.entries(fields).flatMap(([name, value]): Array<[string, string | number | boolean]> => {
    if (value == null) {
      return []
    }
    if (typeof value === 'number') {
      return [[name, thousandths(value)]]
    }
    return [[name, typeof value === 'boolean' ? value : bounded(String(value), MAX_FIELD_LENGTH)]]
  })
}

function shownValue(value: string | number | boolean): string {
  const text = String(value)
  return PLAIN_VALUE.test(text) ? text : JSON.stringify(text)
}

/** Removes control characters and truncates the text. */
function bounded(text: string, maxLength = MAX_TEXT_LENGTH): string {
  return text.length > maxLength ? `${printable(text.slice(0, maxLength))}${CUT}` : printable(text)
}
