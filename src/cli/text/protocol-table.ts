import { printable } from '../../primitives/printable.ts'
import type { ProtocolAnswer } from '../../session/answers.ts'
import { PROTOCOL_KINDS } from '../messages/protocol-kinds.ts'
import { table, widthOf } from './render.ts'

/** Formats protocols as a table, or in lines if the table does not fit the width, in columns; only the IDs if nothing else is known. */
export function protocolTable(protocols: ProtocolAnswer[], width = Number.POSITIVE_INFINITY): string {
  if (protocols.every(({ kind }) => kind == null)) {
    return table(protocols.map(({ id }) => [id]))
  }
  const rows = protocols.map(({ id, kind, requestType, responseType }) => [
    id,
    kind == null ? '-' : PROTOCOL_KINDS[kind].short,
    lastName(requestType),
    lastName(responseType),
  ])
  const whole = table([['PROTOCOL', 'GIVES', 'REQUEST', 'RESPONSE'], ...rows])
  return whole.split('\n').every((line) => widthOf(line) <= width) ? whole : rows.map(inLines).join('\n')
}

/** The ID, and what is known in a second line. */
function inLines(row: string[]): string {
  const [id, kind, request, response] = row.map(printable)
  const types = request === '-' && response === '-' ? '' : `: ${request} -> ${response}`
  return [id, ...(kind === '-' ? [] : [`  ${kind}${types}`])].join('\n')
}

function lastName(type: string | null): string {
  return type?.split('.').at(-1) ?? '-'
}
