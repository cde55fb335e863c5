import type { PeerId, PrivateKey } from '@libp2p/interface'
import { CHAIN_PATIENCE_MS, type ChainRegistry, type Freshness } from '../chain/registry.ts'
import { AddressBook, type BookEntry } from '../gossip/address-book.ts'
import { Blame } from '../gossip/blame.ts'
import { HeartbeatService } from '../gossip/heartbeat.ts'
import { HEARTBEAT_INTERVAL_MS } from '../gossip/heartbeat-interval.ts'
import { openPeerRecord } from '../gossip/peer-record.ts'
import { type PeerStateInit, PeerStateService } from '../gossip/peer-state.ts'
import { addressesOf, farthestFirst, parsePeerMultiaddr } from '../primitives/address.ts'
import type { NamedOver } from '../primitives/address-kind.ts'
import { DatabaseError } from '../primitives/database-error.ts'
import { withDeadline } from '../primitives/deadline.ts'
import type { Logger } from '../primitives/log.ts'
import { type Budget, budgetOf } from '../primitives/patience.ts'
import type { Interceptor } from '../protocol/api/interceptor.ts'
import { ByteBudget, DEFAULT_LIMITS, streamedLimit } from '../protocol/api/limits.ts'
import { type AddressDirectory, AddressProtocol, type KnownRecord } from '../protocol/builtin/address.ts'
import { AdmissionProtocol } from '../protocol/builtin/admission.ts'
import { DagSyncProtocol } from '../protocol/builtin/dag-sync.ts'
import { ReflectionProtocol } from '../protocol/builtin/reflection.ts'
import { type StreamingTaskHandler, type TaskHandler, TaskProtocol } from '../protocol/builtin/task.ts'
import { Resolver, type ResolverMemory } from '../resolve/resolver.ts'
import type { Candidate } from '../resolve/tier.ts'
import { type ChainSource, ChainTier } from '../resolve/tiers/chain.ts'
import { type BookSource, GossipTier } from '../resolve/tiers/gossip.ts'
import { type AskPeer, NeighboursTier } from '../resolve/tiers/neighbours.ts'
import { askForRecord } from './adapters/identify-all-keys.ts'
import { type LiveRecord, LiveRecords } from './adapters/live-records.ts'
import { Door } from './admission/door.ts'
import { Doorkeeper } from './admission/doorkeeper.ts'
import { OwnRegistration } from './admission/own-registration.ts'
import { RefusalWatch } from './admission/refusal-watch.ts'
import { type RedialDelays, RefusedPeers } from './admission/refused-peers.ts'
import { ChainFollower } from './chain-follower.ts'
import { Bootstrap, type Whereabouts } from './dial/bootstrap.ts'
import { DialPolicy, type NetworkInterfaces } from './dial/dial-policy.ts'
import { Dialler } from './dial/dialler.ts'
import { Aliases } from './home/aliases.ts'
import { BOOTSTRAPS, type Settings } from './home/config.ts'
import type { Home } from './home/home.ts'
import { openHomeDatabase } from './home/home-database.ts'
import { OtherNetwork } from './network/other-network.ts'
import { isFollowed, namedOverChain, openRegistry } from './open-registry.ts'
import { peerList } from './peer-list.ts'
import { byDistance, Speakers } from './speakers.ts'
import { createLibp2p, gossipTopics } from './stack/create-libp2p.ts'
import { walkTo } from './stack/kademlia-walk.ts'
import { Liveness } from './stack/liveness.ts'
import { Places } from './stack/places.ts'
import { SharedKeys } from './stack/shared-keys.ts'
import { SubnetNode } from './subnet-node.ts'

export type NodeSettings = Pick<
  Settings,
  | 'bootstrap'
  | 'subnetId'
  | 'network'
  | 'chain'
  | 'announce'
  | 'heartbeatInterval'
  | 'heartbeatBudget'
  | 'allowPrivate'
  | 'kadProtocol'
  | 'gossipIpColocationWeight'
  | 'maxConnectionsPerIp'
  | 'maxFrameBytes'
  | 'reflection'
  | 'admission'
  | 'minClass'
  | 'admissionOnError'
  | 'admissionExempt'
  | 'allowPeers'
  | 'denyPeers'
>

export interface ComposeInit {
  home: Home
  settings: NodeSettings
  privateKey: PrivateKey
  /** Where to listen; empty for a node that only asks. */
  listen: string[]
  /** Answers tasks; without one they are rejected. */
  handler?: TaskHandler | StreamingTaskHandler | undefined
  /** Around every call and every request, the first one outermost. */
  interceptors?: readonly Interceptor[] | undefined
  /** What the node calls itself, as `subnet-cli/1.0.0`. */
  agent: string
  /** @default those of this machine */
  networkInterfaces?: NetworkInterfaces | undefined
  /** @default one that ticks each second */
  liveness?: Liveness | undefined
  /** How long peers that refuse this node, or are refused, are left alone. */
  redialDelays?: RedialDelays | undefined
  log: Logger
  /** What its owner holds for it, to be given back when it has stopped. */
  release?: (() => Promise<void>) | undefined
}

/** Joins the parts of a node: the only place where tiers, protocols, gossip and chain meet. */
export async function composeNode(init: ComposeInit): Promise<SubnetNode> {
  const { home, settings, privateKey, log } = init
  const serves = init.listen.length > 0
  const targets = settings.bootstrap.map(parsePeerMultiaddr)
  const registry = await openRegistry(init)
  const database = await openHomeDatabase(home)
  const book = new AddressBook(database, {
    onWriteFailure: (error) => log.warn('the address book is not written until this is mended: what peers tell is forgotten', error),
  })
  const aliases = new Aliases(database)
  const writes = new Set<Promise<unknown>>()
  // a help, not a need: nobody waits for a book that is locked, and one that cannot be written is only told of
  const note: Note = (write) => {
    const done = write().catch((error) =>
      // the book tells of its file itself
      error instanceof DatabaseError
        ? log.debug('the address book was not written', error)
        : log.warn('the address book was not written', error),
    )
    writes.add(done)
    void done.finally(() => writes.delete(done))
  }
  const door = doorOf(init, registry)
  const { listen, agent, networkInterfaces, liveness = new Liveness() } = init
  const sharedKeys = new SharedKeys({ log, ask: askForRecord })
  const liveRecords = new LiveRecords((connection, record) => (serves ? sharedKeys.saw(connection, record) : undefined))
  const policy = new DialPolicy({ allowPrivate: settings.allowPrivate, networkInterfaces })
  const blame = new Blame()
  const places = new Places({
    maxPerIp: settings.maxConnectionsPerIp,
    keeps: () => {
      const known = new Set([...targets.map(({ peerId }) => peerId.toString()), ...meshOf(libp2p.services.pubsub, settings)])
      return (peerId) => known.has(peerId.toString()) || (door != null && door.refusalOf(peerId) == null)
    },
  })
  const refused = new RefusedPeers({
    log,
    delays: init.redialDelays,
    isBootstrap: (peer) => targets.some(({ peerId }) => peerId.toString() === peer),
  })
  const stack = { privateKey, listen, agent, networkInterfaces, door, policy, blame, refused, places, liveness, liveRecords, log }
  const libp2p = await createLibp2p({ ...settings, ...stack })
  places.follow(libp2p)
  liveness.follow(libp2p)
  liveRecords.follow(libp2p)
  sharedKeys.follow(libp2p)
  const namedOver = (peerId: PeerId): NamedOver => policy.namedOver(libp2p.getConnections(peerId))
  const dialler = new Dialler(libp2p.services.dial)
  const doorkeeper = door == null ? undefined : new Doorkeeper({ libp2p, door, registry, refused, log })
  const bootstrap = new Bootstrap({
    libp2p,
    dialler,
    targets: targets.filter(({ peerId }) => !peerId.equals(libp2p.peerId)),
    acquaintances: (count) => acquaintances({ book, policy }, libp2p.peerId, count),
    ownRefusalOf: async (peerId, signal) => doorkeeper?.refusalOf(peerId, signal),
    refusalOf: async (connection) => node.refusalOf(connection),
    refused,
    log,
  })
  const speakers = new Speakers()
  const otherNetwork = new OtherNetwork(settings.network, { serves, log })
  const askMs = (peerId?: PeerId): number => {
    const rtts = libp2p.getConnections(peerId).map((connection) => liveness.rttMsOf(connection))
    return budgetOf(Math.max(0, ...rtts), ASK)
  }
  const network: AskPeer = {
    neighbours: async function* (target, options) {
      for await (const neighbour of speakers.closestTo(target, bootstrap, options)) {
        options.prolong?.(askMs(neighbour))
        yield neighbour
      }
    },
    ask: async (neighbour, target, { signal }) => {
      const answer = await addresses.ask(neighbour, target, { signal, timeoutMs: askMs(neighbour) })
      return answer == null || (await isStranger(target))
        ? undefined
        : rememberAnswer({ book, note, policy }, answer, neighbour, namedOver(neighbour))
    },
    walk: async (target, { signal, mayDial }) => {
      await bootstrap.settled(signal)
      // its own time: that of the tier lasts longer where a bootstrap was slow to connect
      const inTime = withDeadline(signal, askMs()) as AbortSignal
      const multiaddrs = await walkTo(libp2p, target, MAX_ADDRESSES, inTime, mayDial ?? (() => false))
      return multiaddrs.length === 0
        ? undefined
        : { multiaddrs, source: 'neighbour', verified: false, seq: 0n, ageMs: undefined, detail: 'by the Kademlia walk' }
    },
  }
  const isStranger = async (peerId: PeerId): Promise<boolean> => door != null && !(await door.check(peerId)).admitted
  const resolver = new Resolver(
    [
      new GossipTier(bookSource(book, policy)),
      new NeighboursTier(network, { budgetMs: serves ? ASK.minMs : ASK.minMs + CONNECT_MS }),
      new ChainTier(chainSource(registry, namedOverChain(settings.chain), { book, note, policy })),
    ],
    {
      ...memoryOf(book, note, policy),
      hint: () => otherNetwork.hint,
      refusal: () => (libp2p.getPeers().length === 0 ? bootstrap.refusals[0] : undefined),
    },
  )
  const { pubsub } = libp2p.services
  const heard: Omit<PeerStateInit, 'pubsub' | 'self'> = {
    book,
    blame,
    log,
    namedOver,
    admits: async (peerId) => !(await isStranger(peerId)),
    onHeartbeat: (event) => node.emit('heartbeat', event),
  }
  const heartbeats =
    pubsub == null
      ? undefined
      : new HeartbeatService({
          ...heard,
          pubsub,
          privateKey,
          subnetId: settings.subnetId,
          intervalMs: settings.heartbeatInterval,
          bytesPerSecond: settings.heartbeatBudget,
          addresses: () => libp2p.getMultiaddrs(),
          otherClock: () => {
            const { clockOffsetMs: offsetMs, endpoint } = registry.state()
            return offsetMs == null ? undefined : { offsetMs, name: `the blocks of chain ${endpoint}` }
          },
          recordElsewhere: async () => {
            const neighbours = speakers.list()
            const neighbour = neighbours[Math.floor(Math.random() * neighbours.length)]
            const answer = neighbour == null ? undefined : await addresses.ask(neighbour, libp2p.peerId, { hops: 1 })
            return answer == null ? undefined : openPeerRecord(answer.envelope)
          },
        })
  const peerStates =
    pubsub == null || settings.network !== 'template'
      ? undefined
      : new PeerStateService({ ...heard, pubsub, self: libp2p.peerId, isConnected: (peerId) => libp2p.getConnections(peerId).length > 0 })
  const limits = { ...DEFAULT_LIMITS, maxFrameBytes: settings.maxFrameBytes, maxStreamedBytes: streamedLimit(settings.maxFrameBytes) }
  const node: SubnetNode = new SubnetNode({
    libp2p,
    dialler,
    policy,
    resolver,
    bootstrap,
    book,
    aliases,
    registry,
    heartbeats,
    peerStates,
    limits,
    budget: new ByteBudget(Math.max(limits.maxBytesInFlight, limits.maxFrameBytes)),
    door,
    places,
    liveness,
    otherNetwork,
    sharedKeys,
    doorkeeper,
    refused,
    ownRegistration: door == null ? new OwnRegistration({ registry, self: libp2p.peerId, refused }) : undefined,
    refusalWatch: new RefusalWatch({ libp2p, ask: async (connection) => node.refusalOf(connection) }),
    chainFollower: serves && door == null && isFollowed(settings.chain) ? new ChainFollower({ registry, log }) : undefined,
    interceptors: [peerList({ allow: settings.allowPeers, deny: settings.denyPeers }) ?? [], init.interceptors ?? []].flat(),
    log,
    serves,
    note,
    release: async () => {
      await Promise.all(writes)
      database.close()
      await init.release?.()
    },
  })
  const directory: AddressDirectory = {
    recordOf: async (peerId) => {
      if (peerId.equals(libp2p.peerId)) {
        return heartbeats?.ownRecord == null
          ? undefined
          : { envelope: heartbeats.ownRecord.envelope, ageMs: 0, intervalMs: heartbeats.counts.intervalMs }
      }
      return recordHeardLast(liveRecords.of(peerId), book, peerId)
    },
    sequenceOf: async (envelope, peerId) =>
      openPeerRecord(envelope).then(
        (record) => (record.peerId.equals(peerId) && record.multiaddrs.length > 0 ? record.seq : undefined),
        () => undefined,
      ),
    neighbours: (target) => byDistance(speakers.list(), target),
  }
  const addresses = new AddressProtocol(node, directory)
  new DagSyncProtocol(node, libp2p.peerId.toString())
  if (door != null) {
    new AdmissionProtocol(node, (peerId) => door.refusalOf(peerId))
  }
  if (settings.reflection) {
    new ReflectionProtocol(node)
  }
  node.tasks = new TaskProtocol(node, init.handler, { onTask: (event) => node.emit('task', event) })
  speakers.follow(libp2p, addresses.id)
  return node
}

/** None where everybody may come in. */
function doorOf({ settings, log }: ComposeInit, registry: ChainRegistry): Door | undefined {
  const { admission, minClass, subnetId, admissionOnError: onError, admissionExempt, bootstrap } = settings
  if (admission === 'open') {
    return undefined
  }
  const exempt = admissionExempt.flatMap((entry) =>
    entry === BOOTSTRAPS ? bootstrap.map((address) => parsePeerMultiaddr(address).peerId.toString()) : [entry],
  )
  return new Door({ registry, subnetId, minClass, onError, exempt, log })
}

/** The peers in the gossip meshes: at most 12, in a network of the template 32 in each of two. So they cannot keep all places. */
function meshOf(pubsub: object | undefined, settings: NodeSettings): string[] {
  // a public method that the type does not name
  const { getMeshPeers } = (pubsub ?? {}) as { getMeshPeers?: (topic: string) => string[] }
  return gossipTopics(settings).flatMap((topic) => getMeshPeers?.call(pubsub, topic) ?? [])
}

const MAX_ADDRESSES = 16
/** By so much a stale entry comes behind a fresh one: half of the stale ones come among the fresh ones. */
const STALE_RANK = 0.5
/** How long a neighbour may be asked, by its round trip; a node that was only just started has to connect to one first. */
const ASK: Budget = { times: 50, minMs: 3_000, maxMs: 15_000 }
const CONNECT_MS = 2_000

/** Runs a write to the address book in the background. */
type Note = (write: () => Promise<unknown>) => void

/** The cap that a peer's own word is put under, whoever passes it on. */
function boundedInterval(intervalMs: number): number {
  return Math.min(Math.max(intervalMs, HEARTBEAT_INTERVAL_MS.min), HEARTBEAT_INTERVAL_MS.max)
}

/** Where answers go before they are given: into the book, and to who judges their addresses. */
interface Memory {
  book: AddressBook
  note: Note
  policy: DialPolicy
}

function toCandidate(entry: BookEntry, policy: DialPolicy, ageMs: number, detail: string): Candidate {
  policy.note(entry.multiaddrs, entry.namedOver ?? 'stranger')
  // what else the book holds came in a signed record, was read from the chain, or confirmed by a connection
  return { multiaddrs: entry.multiaddrs, source: entry.origin, verified: entry.verified !== false, seq: entry.seq, ageMs, detail }
}

/** Some peers of the address book, by chance; peers whose entries are fresh have the better one. */
function acquaintances({ book, policy }: Pick<Memory, 'book' | 'policy'>, self: PeerId, count: number): Whereabouts[] {
  return book
    .list()
    .filter(({ peerId, bad }) => !bad && !peerId.equals(self))
    .map((entry) => ({ entry, rank: Math.random() + (book.isFresh(entry) ? 0 : STALE_RANK) }))
    .sort((a, b) => a.rank - b.rank)
    .slice(0, count)
    .map(({ entry: { peerId, multiaddrs, namedOver = 'stranger' } }) => {
      policy.note(multiaddrs, namedOver)
      return { peerId, multiaddrs: farthestFirst(addressesOf(peerId, policy.allowed(multiaddrs), MAX_ADDRESSES)) }
    })
}

function bookSource(book: AddressBook, policy: DialPolicy): BookSource {
  return {
    freshAddressesOf: (peerId) => {
      const entry = book.get(peerId)
      return entry == null || entry.multiaddrs.length === 0 || !book.isFresh(entry)
        ? undefined
        : toCandidate(entry, policy, book.ageMs(entry), 'in the address book')
    },
  }
}

function memoryOf(book: AddressBook, note: Note, policy: DialPolicy): ResolverMemory {
  return {
    refuted: async (peerId, candidate) => {
      const entry = book.get(peerId)
      if (entry != null && entry.seq <= candidate.seq) {
        note(async () => book.markBad(peerId, candidate.seq))
      }
    },
    lastResort: (peerId) => {
      const entry = book.get(peerId)
      return entry == null || entry.multiaddrs.length === 0
        ? undefined
        : toCandidate(entry, policy, book.ageMs(entry), 'stale entry of the address book')
    },
  }
}

/** @param namedOver `trusted` for a chain that is this user's own: anybody may write on others */
function chainSource(registry: ChainRegistry, namedOver: NamedOver, { book, note, policy }: Memory): ChainSource {
  return {
    addressesOf: async (peerId, { signal, explain }) => {
      const record = await registry.lookup(peerId, { signal, patienceMs: CHAIN_PATIENCE_MS })
      if (record.multiaddrs.length === 0) {
        explain(`${record.known ? 'registered, no address on the chain' : 'not known'}${record.stale ? `, ${whenRead(record)}` : ''}`)
        return undefined
      }
      policy.note(record.multiaddrs, namedOver)
      if (record.verified) {
        const rest = {
          envelope: undefined,
          origin: 'chain',
          namedOver,
          state: 'online',
          heartbeatAtMs: undefined,
          bad: false,
          verified: undefined,
        } as const
        note(async () => book.put({ ...record, ...rest, seenAtMs: Date.now(), intervalMs: HEARTBEAT_INTERVAL_MS.default }))
      }
      const { multiaddrs, verified, seq, stale, readAtMs } = record
      const ageMs = stale ? Math.max(0, Date.now() - readAtMs) : undefined
      return { multiaddrs, source: 'chain', verified, seq, ageMs, detail: whenRead(record) }
    },
  }
}

/** For the trace. An endpoint that does not tell its block gives 0. */
function whenRead({ block, stale }: Freshness): string {
  return `read ${block === 0 ? 'from the chain' : `at block ${block}`}${stale ? ': the chain is away' : ''}`
}

/** A neighbour's answer, its signature checked, becomes an entry of the book and a candidate. */
async function rememberAnswer(
  { book, note, policy }: Memory,
  { envelope, intervalMs, ageMs, hops }: KnownRecord & { hops: number },
  neighbour: PeerId,
  namedOver: NamedOver,
): Promise<Candidate> {
  const record = await openPeerRecord(envelope)
  policy.note(record.multiaddrs, namedOver)
  const rest = { origin: 'neighbour', namedOver, state: 'online', heartbeatAtMs: undefined, bad: false } as const
  note(async () => book.put({ ...record, ...rest, seenAtMs: Date.now() - ageMs, intervalMs: boundedInterval(intervalMs) }))
  const detail = `by way of ${neighbour.toString()}, ${hops} hop(s)`
  return { multiaddrs: record.multiaddrs, source: 'neighbour', verified: true, seq: record.seq, ageMs, detail }
}

/**
 * What a connected peer said of itself beats what is stored, whatever the clock says by which it numbers its records; only a beat that came later, with a
 * higher number, is newer.
 */
function recordHeardLast(live: LiveRecord | undefined, book: AddressBook, peerId: PeerId): KnownRecord | undefined {
  const entry = book.get(peerId)
  const stored: KnownRecord | undefined =
    entry?.envelope == null || entry.multiaddrs.length === 0 || !book.isFresh(entry)
      ? undefined
      : { envelope: entry.envelope, ageMs: book.ageMs(entry), intervalMs: entry.intervalMs }
  if (live == null) {
    return stored
  }
  const isLater = entry != null && entry.seq > live.seq && (entry.heartbeatAtMs ?? 0) > live.heardAtMs
  return stored != null && isLater ? stored : { envelope: live.envelope, ageMs: 0, intervalMs: HEARTBEAT_INTERVAL_MS.default }
}
