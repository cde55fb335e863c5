import type { Attempt } from '../resolve/resolver.ts'
import type { AddressSource, TierName } from '../resolve/tier.ts'

/** Every call takes these. The deadline covers the whole call. */
export interface SessionOptions {
  signal?: AbortSignal | undefined
  timeoutMs?: number | undefined
}

export interface PeerRow {
  peerId: string
  alias: string | null
  connected: boolean
  direction: 'inbound' | 'outbound' | null
  latencyMs: number | null
  agent: string | null
  protocols: string[]
  multiaddrs: string[]
  source: AddressSource
  /** Unix time in milliseconds. */
  lastHeartbeatMs: number | null
}

export interface ResolveAnswer {
  peerId: string
  multiaddrs: string[]
  source: AddressSource
  ageMs: number | null
  verified: boolean
  attempts: Attempt[]
}

export interface TaskAnswer {
  taskId: string
  peerId: string
  source: AddressSource
  multiaddr: string
  accepted: boolean
  error: { code: 'TASK_REJECTED'; message: string } | null
  /** Of the payload. */
  bytesSent: number
  /** Of the result. */
  bytesReceived: number
  attempts: Attempt[]
  timings: { resolveMs: number; dialMs: number; requestMs: number; totalMs: number }
  result: Uint8Array
}

export interface ConnectAnswer {
  peerId: string
  multiaddr: string
  direction: 'inbound' | 'outbound'
}

export interface PingAnswer {
  peerId: string
  source: AddressSource
  multiaddr: string
  /** Round trips, in milliseconds, in the order they were made. */
  roundTripsMs: number[]
}

export interface ChainAnswer {
  peerId: string
  multiaddrs: string[]
  verified: boolean
  block: number
}

/** What commands ask. They cannot tell whether the node is in this process or elsewhere. */
export interface Session {
  id(): Promise<{ peerId: string; multiaddrs: string[] }>
  peers(options?: SessionOptions & { all?: boolean }): Promise<PeerRow[]>
  resolve(
    peer: string,
    options?: SessionOptions & { tiers?: TierName[] | undefined; maxAgeMs?: number | undefined },
  ): Promise<ResolveAnswer>
  sendTask(peer: string, task: { taskId: string; payload: Uint8Array }, options?: SessionOptions): Promise<TaskAnswer>
  connect(multiaddr: string, options?: SessionOptions): Promise<ConnectAnswer>
  ping(peer: string, options?: SessionOptions & { count?: number }): Promise<PingAnswer>
  chainLookup(peer: string, options?: SessionOptions): Promise<ChainAnswer>
  chainList(options?: SessionOptions): Promise<ChainAnswer[]>
  /** Without addresses, those of the node that runs in this home. */
  chainPublish(multiaddrs: string[], options?: SessionOptions): Promise<ChainAnswer>
  chainRemove(options?: SessionOptions): Promise<{ peerId: string; removed: boolean }>
  close(): Promise<void>
}
