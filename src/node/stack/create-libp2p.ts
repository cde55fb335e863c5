import type { LookupFunction } from 'node:net'
import { networkInterfaces } from 'node:os'
import { yamux } from '@chainsafe/libp2p-yamux'
import { type GossipSub, gossipsub, StrictSign } from '@libp2p/gossipsub'
import type { ConnectionGater, Libp2p, MultiaddrConnection, PeerId, PrivateKey } from '@libp2p/interface'
import { type KadDHT, kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import type { MulticastDNSComponents } from '@libp2p/mdns'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { type Ping, ping } from '@libp2p/ping'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p as createStack, type Libp2pOptions } from 'libp2p'
import type { Blame } from '../../gossip/blame.ts'
import { heartbeatTopic } from '../../gossip/heartbeat.ts'
import { templateMessageIds } from '../../gossip/message-id.ts'
import { PEER_STATE_TOPIC } from '../../gossip/peer-state.ts'
import type { Logger } from '../../observe/logger.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { BoundedDatastore } from '../adapters/bounded-datastore.ts'
import { boundedDht } from '../adapters/bounded-dht.ts'
import { forCalls } from '../adapters/call-yamux.ts'
import { withGossipTwo } from '../adapters/gossip-two.ts'
import { guarded } from '../adapters/guarded-components.ts'
import { guardedTransport } from '../adapters/guarded-transport.ts'
import { identifyForAllKeys, identifyPushForAllKeys } from '../adapters/identify-all-keys.ts'
import type { LiveRecords } from '../adapters/live-records.ts'
import { noiseForAllKeys } from '../adapters/noise-handshake.ts'
import { onOpenConnections } from '../adapters/open-connections.ts'
import { quic } from '../adapters/quic/quic-transport.ts'
import { readyKey } from '../adapters/ready-key.ts'
import { tellingRefusals } from '../adapters/refused-security.ts'
import { RelayTransport } from '../adapters/relay-transport.ts'
import { withReopenedStreams } from '../adapters/reopened-streams.ts'
import { sendOwnRecord } from '../adapters/sender-record.ts'
import { sparing } from '../adapters/sparing-yamux.ts'
import { inTurns } from '../adapters/stream-turns.ts'
import { explainingTcp } from '../adapters/tcp-dial.ts'
import type { Door } from '../admission/door.ts'
import type { RefusedPeers } from '../admission/refused-peers.ts'
import { BackgroundBudget, UNBOUNDED } from '../dial/dial-budget.ts'
import type { DialOutcome } from '../dial/dial-outcome.ts'
import { DialPolicy, isWorthNoting, type NetworkInterfaces } from '../dial/dial-policy.ts'
import type { DialComponents } from '../dial/dialler.ts'
import { kadProtocolOf, type Network, NOISE_PROTOCOL_ID, TEMPLATE_NOISE_PROTOCOL_ID } from '../network/network.ts'
import { dialBack } from '../reachability/back-dialler.ts'
import type { DialledBack } from '../reachability/dial-back-server.ts'
import { withoutOldScores } from './gossip-scores.ts'
import type { Liveness } from './liveness.ts'
import type { LocalPeers } from './local-peers.ts'
import { announceFilter, type OwnAddressComponents, OwnAddresses } from './own-addresses.ts'
import type { Places } from './places.ts'
import { RELAY_BOUNDS, type RelayBounds, RelayServer } from './relay-server.ts'
import { silentLogger } from './silent-logger.ts'

export type Services = {
  identify: unknown
  ping: Ping
  dht: KadDHT
  dial: DialComponents
  addresses: unknown
  /** This node's places with relays. */
  relays: RelayTransport
  /** The service that this node offers others, where it serves. */
  relayServer?: RelayServer
  reach: ReachComponents
  localPeers?: unknown
  pubsub?: GossipSub
}

/** What finding out at which addresses a node can be reached needs of its stack. */
export interface ReachComponents extends Pick<OwnAddressComponents, 'addressManager' | 'transportManager'> {
  /** Dials a peer back on a connection that this stack does not see. */
  dialBack(address: Multiaddr, nonce: bigint, signal: AbortSignal): Promise<DialledBack>
}

/** A transport as `createLibp2p` of libp2p takes it. */
export type StackTransport = NonNullable<Libp2pOptions['transports']>[number]

export interface StackInit {
  privateKey: PrivateKey
  /** A node that listens takes part in gossip and serves the DHT; one that does not only asks. */
  listen: string[]
  announce: string[]
  /** Transports beside TCP. @default none */
  transports?: readonly StackTransport[] | undefined
  subnetId: number
  /** @default native */
  network?: Network | undefined
  /** @default that of the network */
  kadProtocol: string | undefined
  gossipIpColocationWeight: number
  agent: string
  /** @default those of this machine */
  networkInterfaces?: NetworkInterfaces | undefined
  /** Lets peers in only that it admits; without one, all. */
  door?: Door | undefined
  /** Which addresses that others named are dialled, and how many. @default all: a bare stack dials for whoever has it in hand */
  policy?: DialPolicy | undefined
  /** Scores peers down for their gossip. */
  blame?: Blame | undefined
  /** Who refuses this node, or is refused: nobody dials these unasked before their delay has passed. */
  refused?: RefusedPeers | undefined
  /** Shares out the places for connections. Without it libp2p's own limits apply. */
  places?: Places | undefined
  /** What this node gives others as their relay. @default 128 places, 16 MiB and 10 minutes a circuit */
  relay?: RelayBounds | undefined
  /** Closes connections whose other side is gone. Without it they last until TCP gives up. */
  liveness?: Liveness | undefined
  /** Takes what connected peers sign of themselves. */
  liveRecords?: LiveRecords | undefined
  /** Resolves names in addresses. @default Node's own */
  lookup?: LookupFunction | undefined
  /** Resolves `/dnsaddr`. @default Node's own */
  dns?: DialComponents['dns']
  /** Hears peers of the same local network. */
  localPeers?: LocalPeers | undefined
  /** Told what became of each dial. */
  onDialled?: ((outcome: DialOutcome) => void) | undefined
  log?: Logger | undefined
}

/** Keeps `pause()` honest: with yamux's own 16 MiB a paused stream outgrows libp2p's 4 MiB read buffer and is reset. */
const MAX_STREAM_WINDOW_BYTES = 1 << 20
/** Streams that a peer opens before its connection is set up here: with libp2p's own 10, the eleventh call of a burst ends all of them. */
const MAX_EARLY_STREAMS = 256
/** New connections per second from one address, and without `places` half-open ones in all: shells open a hundred at once (`xargs -P`). */
const CONNECTIONS_PER_SECOND = 200
const MAX_PENDING_CONNECTIONS = 200
const MAX_PING_STREAMS = 32
/**
 * Gossipsub ends the stream of a peer that sends more at once, and hears that peer no more. An honest relay sends what others published: Go's
 * takes up to 1 MiB, more than any heartbeat has.
 */
const MAX_GOSSIP_BYTES = 1 << 20
/** A changed address or protocol is told after this; libp2p's own second would keep a stopped process alive. */
const PUSH_DEBOUNCE_MS = 100
/** How long a bad score outlives the connection. The bad score of a connected peer decays in about the same time. */
const RETAIN_SCORE_MS = 120_000
const FIRST_LOOK_AROUND_MS = 50
const IDENTIFY_PROTOCOL = '/ipfs/id/1.0.0'

/** The libp2p stack of a node, started when it is asked to. */
export async function createLibp2p(init: StackInit): Promise<Libp2p<Services>> {
  const serves = init.listen.length > 0
  const { door, places, refused, liveness, localPeers } = init
  const own = new OwnAddresses(init.networkInterfaces ?? networkInterfaces)
  const datastore = new BoundedDatastore()
  const behindDoor = <C extends { registrar: object }, Service>(factory: (components: C) => Service): ((components: C) => Service) =>
    door == null ? factory : guarded(factory, (peerId) => door.refusalOf(peerId) == null)
  const { policy = new DialPolicy({ allowPrivate: true }) } = init
  const mayDial = (peerId: PeerId): boolean => refused?.mayDial(peerId) !== false && door?.isRefusing(peerId) !== true
  const background = init.policy == null ? UNBOUNDED : new BackgroundBudget(serves, Date.now, mayDial)
  const onRefused = (peerId: PeerId, reason: string): void => refused?.refused(peerId, 'them', reason)
  const notLetIn = (why: unknown): void => init.log?.debug('a peer was not let in', why)
  const guard = { policy, background, isFull: (): boolean => places?.isOutOfDescriptors === true, onRefused, onDialled: init.onDialled }
  const relays = new RelayTransport({ ...guard, serves })
  const self = peerIdFromPrivateKey(init.privateKey).toString()
  const ownOverRelays = (): Multiaddr[] => relays.addresses.map((address) => address.encapsulate(`/p2p/${self}`))
  const relayServer = new RelayServer({
    bounds: init.relay ?? RELAY_BOUNDS,
    kadProtocol: kadProtocolOf(init),
    admits: door == null ? undefined : async (peerId) => (await door.check(peerId)).admitted,
  })
  const muxer = forCalls(
    sparing(inTurns(yamux({ maxEarlyStreams: MAX_EARLY_STREAMS, streamOptions: { maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES } }))),
  )
  const transports: StackTransport[] = [
    explainingTcp({ ...guard, lookup: init.lookup }),
    quic({ ...guard, lookup: init.lookup, watching: liveness == null ? undefined : (make) => liveness.watching(make) }) as StackTransport,
    ...(init.transports ?? []).map((make) => guardedTransport(make, guard)),
  ]
  const privateKey = readyKey(init.privateKey)
  const options: Libp2pOptions<Services> = {
    start: false,
    privateKey,
    ...(process.env.DEBUG == null && { logger: silentLogger }),
    datastore,
    nodeInfo: { userAgent: init.agent },
    addresses: { listen: init.listen, announce: init.announce, announceFilter: announceFilter(init.announce, ownOverRelays) },
    transports: [...transports.map((transport) => own.transport(tellingRefusals(transport, notLetIn))), relays.factory as StackTransport],
    connectionEncrypters: [NOISE_PROTOCOL_ID, TEMPLATE_NOISE_PROTOCOL_ID].map((protocol) =>
      noiseForAllKeys({ protocol, onFailed: notLetIn }),
    ),
    streamMuxers: [liveness?.watching(muxer) ?? muxer],
    ...(init.dns == null ? {} : { dns: init.dns }),
    connectionManager: {
      inboundConnectionThreshold: CONNECTIONS_PER_SECOND,
      ...(places?.limits ?? { maxIncomingPendingConnections: MAX_PENDING_CONNECTIONS }),
      // the dialler resolves names of every kind, and counts what they lead to
      resolvers: {},
    },
    // `Liveness` notices more, at less cost: libp2p's opens a stream for each ping, and takes a peer that is busy for 5 s for dead
    connectionMonitor: { enabled: false },
    connectionGater: {
      ...(door == null ? {} : waitAt(door)),
      ...places?.gater,
      ...relayServer.gater,
      // a stranger's relay is none of ours
      denyInboundRelayedConnection: async (relay) => !relays.has(relay),
      // what libp2p may note of peers, and tell others, whoever named it
      filterMultiaddrForPeer: async (peerId, address) => isWorthNoting(peerId, address),
    },
    services: {
      identify: behindDoor(identifyForAllKeys(init.liveRecords)),
      // one at a time is the default, and a stream that closes still counts
      ping: behindDoor(onOpenConnections(ping({ maxInboundStreams: MAX_PING_STREAMS, maxOutboundStreams: MAX_PING_STREAMS }))),
      dht: behindDoor(
        boundedDht(
          kadDHT({
            clientMode: !serves,
            protocol: kadProtocolOf(init),
            // a subnet may live on loopback or in a LAN: private addresses are addresses
            peerInfoMapper: passthroughMapper,
            // walks wait for the first look around, which by default comes after a second
            initialQuerySelfInterval: FIRST_LOOK_AROUND_MS,
          }),
          { policy, background, mayDial },
        ),
      ),
      dial: ({ connectionManager, transportManager, dns, logger }) => ({ connectionManager, transportManager, dns, logger }),
      addresses: (components) => own.service(components),
      relays: () => relays,
      reach: ({ addressManager, transportManager }) => ({
        addressManager,
        transportManager,
        dialBack: async (...args) => dialBack({ privateKey, transports }, ...args),
      }),
      ...(localPeers == null ? {} : { localPeers: (components: MulticastDNSComponents) => localPeers.service(components) }),
      ...(serves
        ? {
            relayServer: behindDoor((components) => relayServer.service(components)),
            identifyPush: behindDoor(identifyPushForAllKeys({ debounce: PUSH_DEBOUNCE_MS }, init.liveRecords)),
            pubsub: behindDoor(
              withReopenedStreams(withoutOldScores(withGossipTwo(gossip(init), init.network === 'template' ? sendOwnRecord : undefined))),
            ),
          }
        : {}),
    },
  }
  const libp2p = await createStack(options)
  datastore.follow(libp2p)
  libp2p.addEventListener('peer:identify', ({ detail }) => policy.noteOwnWord(detail))
  return libp2p
}

/**
 * Starts a stack. One that only asks does not answer identify: it may share its identity with a node that runs in the same
 * home, and its few protocols would replace that node's in the other side's books.
 */
export async function startLibp2p(libp2p: Libp2p<Services>, serves: boolean): Promise<void> {
  await libp2p.start()
  if (!serves) {
    await libp2p.unhandle(IDENTIFY_PROTOCOL)
  }
}

/** How long a stack may take to stop: it gives each connection a second to close. */
const STOP_MS = 1_500

/** Stops a stack, within 1.5 s. @throws Error where it takes longer */
export async function stopLibp2p(libp2p: Libp2p<Services>): Promise<void> {
  // it waits for connections that are closing with timers that do not keep the process alive
  using deadline = new Deadline(STOP_MS).ref()
  await deadline.race(Promise.resolve(libp2p.stop()), () => new Error('libp2p did not stop in time'))
}

function gossip({ subnetId, network, gossipIpColocationWeight, blame }: StackInit): ReturnType<typeof gossipsub> {
  const topics = gossipTopics({ subnetId, network })
  return gossipsub({
    allowPublishToZeroTopicPeers: true,
    // the author of a message is known for certain: `Blame` needs that
    globalSignaturePolicy: StrictSign,
    maxInboundDataLength: MAX_GOSSIP_BYTES,
    // beats are small and few: tell many neighbours of them, so that a star's every leaf hears every other
    Dlazy: 16,
    // but of each beat once and no more of them, however many there are: telling it again to more costs more than the beat
    mcacheGossip: 1,
    gossipFactor: 0,
    allowedTopics: topics,
    ...(network === 'template' ? { ...TEMPLATE_MESH, ...templateMessageIds(new Set([PEER_STATE_TOPIC])) } : {}),
    scoreParams: {
      appSpecificScore: (peerId) => blame?.scoreOf(peerId) ?? 0,
      // one message costs its author as much as one with a wrong signature costs the sender
      appSpecificWeight: 10,
      retainScore: RETAIN_SCORE_MS,
      IPColocationFactorWeight: gossipIpColocationWeight,
      IPColocationFactorWhitelist: new Set(['127.0.0.1', '::1']),
      topics: Object.fromEntries(topics.map((topic) => [topic, TOPIC_SCORES])),
    },
  })
}

/**
 * A node of the template never sends GRAFT: its patch of py-libp2p passes over peers of 2.0. A node in nobody's mesh cannot publish. So this node grafts
 * more peers than gossipsub's six.
 */
const TEMPLATE_MESH = { D: 24, Dlo: 24, Dhi: 32 }

/** Low traffic: silence is no offence, only a message that no honest peer passes on is. */
const TOPIC_SCORES = {
  topicWeight: 1,
  timeInMeshWeight: 0.01,
  timeInMeshQuantum: 1_000,
  timeInMeshCap: 100,
  firstMessageDeliveriesWeight: 0.1,
  firstMessageDeliveriesDecay: 0.9,
  firstMessageDeliveriesCap: 10,
  meshMessageDeliveriesWeight: 0,
  meshMessageDeliveriesDecay: 0.5,
  meshMessageDeliveriesCap: 1,
  meshMessageDeliveriesThreshold: 1,
  meshMessageDeliveriesWindow: 10,
  meshMessageDeliveriesActivation: 1_000,
  meshFailurePenaltyWeight: 0,
  meshFailurePenaltyDecay: 0.5,
  invalidMessageDeliveriesWeight: -10,
  invalidMessageDeliveriesDecay: 0.9,
}

/** What a node listens to. */
export function gossipTopics({ subnetId, network }: Pick<StackInit, 'subnetId' | 'network'>): string[] {
  return [heartbeatTopic(subnetId), ...(network === 'template' ? [PEER_STATE_TOPIC] : [])]
}

/**
 * Asks the chain once a peer has proven who it is, before anything else is read of it. Nobody is turned away here: what is refused
 * then is every stream but one, on which it is told why.
 */
function waitAt(door: Door): ConnectionGater {
  const check = async (peerId: PeerId, connection: MultiaddrConnection): Promise<boolean> => {
    // a closed connection gives its place back without waiting for the chain
    const gone = new AbortController()
    connection.addEventListener('close', () => gone.abort(new Error('the connection was closed')), { once: true })
    await door.check(peerId, gone.signal)
    return false
  }
  return { denyInboundEncryptedConnection: check, denyOutboundEncryptedConnection: check }
}
