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

/** The parts of a node. */
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
  /** The states that template nodes publish. Only in a template network. */
  peerStates: PeerStateService | undefined
  limits: ProtocolLimits
  budget: ByteBudget
  interceptors: readonly Interceptor[]
  /** Answers tasks. Without a handler, tasks are rejected. */
  handler: TaskHandler | StreamingTaskHandler | undefined
  /** Decides which peers are admitted. Without a door, all peers are. */
  door: Door | undefined
  doorkeeper: Doorkeeper | undefined
  refused: RefusedPeers
  refusalWatch: RefusalWatch
  /** Only without a door. */
  ownRegistration: OwnRegistration | undefined
  /** Undefined if the doorkeeper follows the chain, or if nothing does. */
  chainFollower: ChainFollower | undefined
  places: Places
  /** Undefined for a node that listens nowhere. */
  reachability: OwnReachability | undefined
  /** Undefined for a node that listens nowhere. */
  portMapping: OwnPortMapping | undefined
  liveness: Liveness
  otherNetwork: OtherNetwork
  sharedKeys: SharedKeys
  relaying: RelaysOfNode
  log: Logger
  /** Counts events. Undefined without metrics. */
  observer: Instruments | undefined
  /** Receives the decisions of the parts. */
  observed: Observed
  /** True for a node that listens, gossips and answers. False for a client-only node. */
  serves: boolean
  /** Runs a write to the address book in the background. */
  note(write: () => Promise<unknown>): void
  /** Releases shared resources. Called last. */
  release(): Promise<void>
}
