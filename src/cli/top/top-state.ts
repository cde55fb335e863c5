import type { ActivityAnswer, PeerRow, StatusAnswer } from '../../session/answers.ts'
import { type PeerFigures, peerFigures, type Snapshot, SORTS, type Sort } from './figures.ts'

/** The state from which the view is drawn. */
export interface TopState {
  /** At least one snapshot, the newest last. */
  snapshots: readonly Snapshot[]
  status: StatusAnswer | undefined
  /** The reason why the last request failed. */
  trouble: string | undefined
  /** The node is of an earlier version, and reports less. */
  isOlder: boolean
  /** The snapshots shown while paused. */
  paused: readonly Snapshot[] | undefined
  page: 'peers' | 'peer' | 'help'
  sort: Sort
  filter: string
  /** The user is typing the filter. */
  isTyping: boolean
  /** The marked peer. If unset or not shown, the first peer is marked. */
  selected: string | undefined
  /** Details of the opened peer. */
  opened: PeerRow | undefined
}

/** A key, in the form of `node:readline`. */
export interface Key {
  name?: string | undefined
  /** The typed characters. */
  sequence?: string | undefined
  ctrl?: boolean | undefined
  meta?: boolean | undefined
}

/** A key's effect beyond a change of the view. */
export type Effect = 'quit' | 'suspend' | 'redraw' | undefined

/** About 300 seconds. */
const MAX_SNAPSHOTS = 300
const MAX_FILTER = 40
const PAGE_ROWS = 10
const STEPS: Record<string, number> = { up: -1, k: -1, down: 1, j: 1, pageup: -PAGE_ROWS, pagedown: PAGE_ROWS }

export function firstState(first: Snapshot): TopState {
  return {
    snapshots: [first],
    status: undefined,
    trouble: undefined,
    isOlder: false,
    paused: undefined,
    page: 'peers',
    sort: 'rate',
    filter: '',
    isTyping: false,
    selected: undefined,
    opened: undefined,
  }
}

/** Adds an answer. A restarted node counts from 0, so older snapshots are dropped. */
export function withActivity(state: TopState, activity: ActivityAnswer, atMs: number): TopState {
  const last = state.snapshots.at(-1)?.activity
  const isAnew = last != null && activity.uptimeMs < last.uptimeMs
  const kept = isAnew ? [] : state.snapshots.slice(1 - MAX_SNAPSHOTS)
  return { ...state, trouble: undefined, snapshots: [...kept, { atMs, activity }] }
}

/** The snapshots to show. */
export function shownSnapshots({ paused, snapshots }: TopState): readonly Snapshot[] {
  return paused ?? snapshots
}

/** The peers that match the filter, sorted. */
export function shownPeers(state: TopState): PeerFigures[] {
  const wanted = state.filter.toLowerCase()
  const peers = peerFigures(shownSnapshots(state), state.sort)
  return wanted === ''
    ? peers
    : peers.filter(({ peerId, alias }) => peerId.toLowerCase().includes(wanted) || alias?.toLowerCase().includes(wanted) === true)
}

/** The marked peer; undefined if no peer is shown. */
export function selectedPeer({ selected }: TopState, peers: readonly PeerFigures[]): PeerFigures | undefined {
  return peers.find(({ peerId }) => peerId === selected) ?? peers[0]
}

/** Handles a key. */
export function pressed(state: TopState, key: Key): [TopState, Effect] {
  if (key.ctrl === true) {
    const effects: Record<string, Effect> = { c: 'quit', z: 'suspend', l: 'redraw' }
    return [state, effects[key.name ?? '']]
  }
  if (state.isTyping) {
    return [typed(state, key), undefined]
  }
  if (key.sequence === 'q') {
    return [state, 'quit']
  }
  return [state.page === 'peers' ? onPeers(state, key) : onOther(state, key), undefined]
}

function onPeers(state: TopState, { name = '', sequence = '' }: Key): TopState {
  const step = STEPS[name]
  if (step != null) {
    return moved(state, step)
  }
  switch (sequence === '/' || sequence === '?' ? sequence : name) {
    case 's':
      return { ...state, sort: SORTS[(SORTS.indexOf(state.sort) + 1) % SORTS.length] as Sort }
    case '/':
      return { ...state, isTyping: true }
    case 'escape':
      return { ...state, filter: '' }
    case 'return':
    case 'enter': {
      const peer = selectedPeer(state, shownPeers(state))
      return peer == null ? state : { ...state, page: 'peer', selected: peer.peerId, opened: undefined }
    }
    default:
      return common(state, name, sequence)
  }
}

function onOther(state: TopState, { name = '', sequence = '' }: Key): TopState {
  const isBack = ['escape', 'backspace', 'left', 'return', 'enter'].includes(name) || (state.page === 'help' && sequence === '?')
  return isBack ? { ...state, page: 'peers', opened: undefined } : common(state, name, sequence)
}

/** Handles the keys of every page. */
function common(state: TopState, name: string, sequence: string): TopState {
  if (name === 'p' || name === 'space') {
    return { ...state, paused: state.paused == null ? state.snapshots : undefined }
  }
  return sequence === '?' || name === 'h' ? { ...state, page: 'help' } : state
}

function typed(state: TopState, { name = '', sequence = '', meta = false }: Key): TopState {
  switch (name) {
    case 'return':
    case 'enter':
      return { ...state, isTyping: false }
    case 'escape':
      return { ...state, isTyping: false, filter: '' }
    case 'backspace':
      return { ...state, filter: [...state.filter].slice(0, -1).join('') }
    default: {
      const isText = !meta && /^[^\p{C}]$/u.test(sequence) && state.filter.length < MAX_FILTER
      return isText ? { ...state, filter: state.filter + sequence } : state
    }
  }
}

function moved(state: TopState, step: number): TopState {
  const peers = shownPeers(state)
  const selected = selectedPeer(state, peers)
  const at = peers.findIndex(({ peerId }) => peerId === selected?.peerId)
  return { ...state, selected: peers[Math.min(peers.length - 1, Math.max(0, at + step))]?.peerId }
}
