import { clearScreenDown, moveCursor } from 'node:readline'
import type { PeerRow } from '../session/answers.ts'
import type { NodeEvent } from '../session/session.ts'
import { clockOf } from './text/clock.ts'
import { jsonText } from './text/json.ts'
import { peerTable } from './text/peer-table.ts'
import { cut, widthOf } from './text/render.ts'

export interface WatchOptions {
  json: boolean
  /** Resolves when the output accepts more. */
  write(text: string): Promise<void>
}

/** Shows peers as they change: in place on a terminal, otherwise one event per line. */
export async function watchPeers(states: AsyncIterable<PeerRow[]>, { json, write }: WatchOptions): Promise<void> {
  if (process.stdout.isTTY && !json) {
    return redraw(states, write)
  }
  let known = new Map<string, PeerRow>()
  for await (const peers of states) {
    const rows = new Map(peers.map((row) => [row.peerId, row]))
    for (const event of changes(known, rows)) {
      await write(`${jsonText(event)}\n`)
    }
    known = rows
  }
}

/** The changes of peers as events: `peer:connect`, `peer:disconnect`, `peer:forget`, or `peer:update` for anything else. */
export function* changes(before: Map<string, PeerRow>, after: Map<string, PeerRow>): Generator<NodeEvent> {
  const atMs = Date.now()
  for (const [peerId, row] of after) {
    const old = before.get(peerId)
    if (old?.connected !== true && row.connected) {
      yield { event: 'peer:connect', atMs, ...row }
    } else if (old?.connected === true && !row.connected) {
      yield { event: 'peer:disconnect', atMs, ...row }
    } else if (JSON.stringify(old) !== JSON.stringify(row)) {
      yield { event: 'peer:update', atMs, ...row }
    }
  }
  for (const [peerId, row] of before) {
    if (!after.has(peerId)) {
      yield { event: row.connected ? 'peer:disconnect' : 'peer:forget', atMs, ...row, connected: false, direction: null, latencyMs: null }
    }
  }
}

async function redraw(states: AsyncIterable<PeerRow[]>, write: WatchOptions['write']): Promise<void> {
  const { stdout } = process
  // a terminal without cursor movement gets one table after the other
  const inPlace = process.env.TERM !== 'dumb'
  let last: PeerRow[] = []
  let drawn: string[] = []
  const draw = async (): Promise<void> => {
    if (inPlace && drawn.length > 0) {
      moveCursor(stdout, 0, -heightOf(drawn, stdout.columns))
      clearScreenDown(stdout)
    }
    drawn = screenOf(last, stdout)
    await write(`${drawn.join('\n')}\n`)
  }
  stdout.on('resize', draw)
  try {
    for await (last of states) {
      await draw()
    }
  } finally {
    stdout.off('resize', draw)
  }
}

/** The lines to draw, at most one screen: a taller table could not be redrawn in place. */
function screenOf(peers: PeerRow[], { columns, rows }: { columns: number; rows: number }): string[] {
  const title = `${peers.length} peer${peers.length === 1 ? '' : 's'} at ${clockOf(Date.now())}, Ctrl-C ends`
  const all = [title, ...(peers.length === 0 ? [] : peerTable(peers, columns).split('\n'))]
  const hidden = Math.min(peers.length, all.length - rows + 2)
  const shown = all.length < rows ? all : [...all.slice(0, rows - 2), `… ${hidden} more`]
  return shown.map((line) => cut(line, columns))
}

/** The rows that lines take now, because the terminal may have become narrower since. */
function heightOf(lines: string[], columns: number): number {
  return lines.reduce((rows, line) => rows + Math.max(1, Math.ceil(widthOf(line) / columns)), 0)
}
