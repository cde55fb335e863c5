import type { Libp2p } from '@libp2p/interface'
import type { ChainRegistry } from '../chain/registry.ts'
import type { AddressBook } from '../gossip/address-book.ts'
import type { HeartbeatService } from '../gossip/heartbeat.ts'
import type { PeerStateService } from '../gossip/peer-state.ts'
import type { Logger } from '../observe/logger.ts'
import type { Interceptor } from '../protocol/api/interceptor.ts'
import type { ByteBudget, ProtocolLimits } from '../protocol/api/limits.ts'
import type { StreamingTaskHandler, TaskHandler } from '../protocol/builtin/task.ts'
import type { Resolver } from '../resolve/resolver.ts'
import type { Door } from './admission/door.ts'
import type { Doorkeeper } from './admission/doorkeeper.ts'
import type { OwnRegistration } from './admission/own-registration.ts'
import type { RefusalWatch } from './admission/refusal-watch.ts'
import type { RefusedPeers } from './admission/refused-peers.ts'
import type { ChainFollower } from './chain-follower.ts'
import type { Bootstrap } from './dial/bootstrap.ts'
import type { DialPolicy } from './dial/dial-policy.ts'
import type { Dialler } from './dial/dialler.ts'
import type { Aliases } from './home/aliases.ts'
import type { Instruments } from './instruments.ts'
import type { OtherNetwork } from './network/other-network.ts'
import type { Observed } from './observed-events.ts'
import type { OwnPortMapping } from './port-mapping-of.ts'
import type { OwnReachability } from './reachability/own-reachability.ts'
import type { RelaysOfNode } from './relaying-of.ts'
import type { Services } from './stack/create-libp2p.ts'
import type { Liveness } from './stack/liveness.ts'
import type { Places } from './stack/places.ts'
import type { SharedKeys } from './stack/shared-keys.ts'

/** What a node is made of. */
export interface NodeParts {
  libp2p: Libp2p<Services>
  dialler: Dialler
  policy: DialPolicy
  resolver: Resolver
  bootstrap: Bootstrap
  book: AddressBook
  aliases: Aliases
  registry: ChainRegistry
  heartbeats: HeartbeatService | undefined
  /** What nodes of the template tell; in their network only. */
  peerStates: PeerStateService | undefined
  limits: ProtocolLimits
  budget: ByteBudget
  interceptors: readonly Interceptor[]
  /** Answers tasks; without one they are rejected. */
  handler: TaskHandler | StreamingTaskHandler | undefined
  /** Who may come in; without one, everybody. */
  door: Door | undefined
  doorkeeper: Doorkeeper | undefined
  refused: RefusedPeers
  refusalWatch: RefusalWatch
  /** Where there is no door. */
  ownRegistration: OwnRegistration | undefined
  /** Without one the chain is followed by the doorkeeper, or not at all. */
  chainFollower: ChainFollower | undefined
  places: Places
  /** Without one nobody is asked: a node that only asks listens nowhere. */
  reachability: OwnReachability | undefined
  /** Of a node that listens. */
  portMapping: OwnPortMapping | undefined
  liveness: Liveness
  otherNetwork: OtherNetwork
  sharedKeys: SharedKeys
  relaying: RelaysOfNode
  log: Logger
  /** Counts what happens; undefined where nobody asked for numbers. */
  observer: Instruments | undefined
  /** What its parts decide. */
  observed: Observed
  /** A node that serves listens, gossips and answers; one that does not only asks. */
  serves: boolean
  /** Runs a write to the address book in the background. */
  note(write: () => Promise<unknown>): void
  /** Releases what the parts share, last. */
  release(): Promise<void>
}
