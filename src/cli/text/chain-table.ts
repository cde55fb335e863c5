import { printable } from '../../primitives/printable.ts'
import type { ChainAnswer, ChainListAnswer, ChainPeerAnswer } from '../../session/answers.ts'
import { describePlace, staleNotice } from '../../session/chain-words.ts'
import { peerIdTable, wrapped } from './render.ts'

/** Peers of a subnet in columns. Peer IDs are whole if they fit, and lines are cut at the width of the terminal. */
export function chainTable(records: ChainAnswer[], width?: number): string {
  const rowOf = ({ role, nodeId, class: nodeClass, multiaddrs }: ChainAnswer, peer: string): string[] => [
    peer,
    role ?? '-',
    nodeId == null ? '-' : String(nodeId),
    nodeClass ?? '-',
    multiaddrs.map((address) => address.replace(/\/p2p\/[^/]+$/, '')).join(' ') || '-',
  ]
  const header = ['PEER', 'ROLE', 'NODE', 'CLASS', 'ADDRESS']
  return peerIdTable((write) => [header, ...records.map((record) => rowOf(record, write(record.peerId)))], width)
}

/** A note about the peers that a list leaves out. */
export function describeListing({ records, withoutAddress }: ChainListAnswer, all: boolean): string | undefined {
  if (records.length === 0 && withoutAddress === 0) {
    return all ? 'the chain has no peers of this subnet' : 'no peer has published to this chain yet'
  }
  const peers = withoutAddress === 1 ? 'peer is' : 'peers are'
  return all || withoutAddress === 0
    ? undefined
    : `${withoutAddress} ${records.length === 0 ? '' : 'more '}${peers} registered without an address: --all lists them`
}

/** Everything on the chain about a peer, one line per fact. @param columns of the terminal, if there is one */
export function describeChainPeer(found: ChainPeerAnswer, columns?: number): string {
  const { subnetId, friendlyId, multiaddrs, hotkey, coldkey, admission } = found
  const { minClass, admitted } = admission
  const rows: Array<[string, string]> = [
    ['peer', found.peerId],
    ['subnet', `${subnetId}${friendlyId == null ? '' : `, friendly id ${friendlyId}`}`],
    ['place', describePlace(found) || 'not registered'],
    ...(multiaddrs.length === 0 ? ['none on the chain'] : multiaddrs).map((address): [string, string] => ['address', address]),
    ...(hotkey == null ? [] : [['hotkey', hotkey] as [string, string]]),
    ...(coldkey == null ? [] : [['coldkey', coldkey] as [string, string]]),
    ['admission', `${admitted ? 'admitted' : 'not admitted'} where the class "${minClass}" is required`],
    ['read', staleNotice(found) ?? (found.block === 0 ? 'now' : `at block ${found.block}`)],
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${wrapped(printable(value), columns, width + 2)}`).join('\n')
}
