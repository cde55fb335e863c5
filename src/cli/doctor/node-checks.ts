import type { Home } from '../../node/home/home.ts'
import { isOwnLedger } from '../../node/home/own-ledger.ts'
import type { Network } from '../../node/network/network.ts'
import { parseMultiaddr, peerIdOf } from '../../primitives/address.ts'
import { isRelayed, kindOf } from '../../primitives/address-kind.ts'
import { humanMs } from '../../primitives/human-ms.ts'

import { TASK_PROTOCOL_ID } from '../../protocol/builtin/task.ts'
import type { ChainMiss, ChainPeerAnswer, PeerRow, StatusAnswer } from '../../session/answers.ts'
import { ChainLookupError } from '../../session/chain-lookup-error.ts'
import type { NodeSettingsAnswer, Session, SessionOptions } from '../../session/session.ts'
import { HIDDEN } from '../findable.ts'
import { reportOf } from '../text/report.ts'
import { describePortMapping } from '../text/status-text.ts'
import { examine, type Finding, inOrder, ok, problem, skipped, warning } from './finding.ts'

export interface NodeInit {
  session: Session
  /** The name and version of this program, as a node announces them to peers. */
  agent: string
  home: Home
  /** The settings of the command, used when no node is running. */
  settings: { bootstrap: readonly string[]; network: Network; subnetId: number }
  /** The deadline and signal for each call. */
  options: () => SessionOptions & { signal: AbortSignal }
}

/**
 * Checks the node that runs in the home, then its bootstraps and the chain. Without a running node, the command's own node makes the calls.
 */
export async function* examineNode(init: NodeInit): AsyncGenerator<Finding> {
  const { session, options } = init
  const status = await session.status(options()).catch((error: unknown) => {
    options().signal.throwIfAborted()
    return reportOf(error)
  })
  if ('healthy' in status) {
    yield* judgeStatus(status, init.agent)
  } else if (status.code === 'NOT_RUNNING') {
    yield skipped({ check: 'node' }, 'no node runs in this home: a temporary node of this command makes the next checks')
  } else {
    yield problem({ check: 'node' }, status)
  }
  const running = await session.settings(options()).catch(() => undefined)
  const settings = running ?? init.settings
  yield* examineBootstraps({ ...init, settings })
  let known: ChainPeerAnswer | ChainMiss | undefined
  yield await examine({ check: 'chain' }, options().signal, async () => {
    known = await readChain(session, options())
    return judgeChain(known)
  })
  if (running != null && known != null && 'healthy' in status && isHidden(status, running, known, init.home)) {
    yield warning({ check: 'node' }, HIDDEN.message, HIDDEN.hint)
  }
}

function* judgeStatus(status: StatusAnswer, agent: string): Generator<Finding> {
  const node = { check: 'node' }
  const running = `${status.agent}, up ${humanMs(status.uptimeMs)}`
  yield status.agent === agent
    ? ok(node, running)
    : warning(node, `${running}: this command is ${agent}`, 'restart the node to run the installed version')
  for (const { code, severity, message } of status.problems) {
    yield code === 'CLOCK_OFF' || severity === 'warning'
      ? warning({ check: code === 'CLOCK_OFF' ? 'clock' : 'node' }, message)
      : problem(node, { code, message })
  }
  if (!status.problems.some(({ code }) => code === 'CLOCK_OFF')) {
    yield ok({ check: 'clock' }, 'no peer and no block shows that the clock is wrong')
  }
  yield* judgeAddresses(status)
  yield judgePortMapping(status)
  yield ok({ check: 'connections' }, `${status.connections.inbound} inbound, ${status.connections.outbound} outbound`)
}

function* judgeAddresses({ multiaddrs, reachability }: StatusAnswer): Generator<Finding> {
  const direct = multiaddrs.map(parseMultiaddr).filter((address) => !isRelayed(address))
  const kinds = direct.map(kindOf)
  const asked = new Map(reachability.addresses.map((address) => [address.multiaddr, address]))
  for (const address of direct) {
    const about = { check: 'address', subject: address.toString() }
    const [last] = asked.get(withoutPeer(about.subject))?.reports ?? []
    const verdict = asked.get(withoutPeer(about.subject))?.verdict ?? 'unknown'
    const told = last == null ? KIND_WORDS[kindOf(address)] : `${SAID[last.outcome]}, says ${last.peerId}`
    yield verdict === 'private' && last != null
      ? warning(about, told, 'a firewall or a router may block the port: open or forward it')
      : ok(about, told)
  }
  for (const address of multiaddrs.filter((text) => isRelayed(parseMultiaddr(text)))) {
    yield ok({ check: 'relay', subject: address }, 'peers reach this node through this relay')
  }
  if (direct.length > 0 && direct.length === multiaddrs.length && !kinds.some((kind) => kind === 'public' || kind === 'name')) {
    yield warning(
      { check: 'address' },
      kinds.includes('private')
        ? 'only peers of the same private network can dial this node, and it has no relay'
        : 'only peers on this machine can dial this node',
      kinds.includes('private')
        ? 'a bootstrap at a public address may relay; if a router forwards a port, name its address with --announce'
        : '--listen /ip4/0.0.0.0/tcp/38960 listens on all interfaces',
    )
  }
}

function judgePortMapping({ portMapping, reachability }: StatusAnswer): Finding {
  const about = { check: 'router' }
  const told = describePortMapping(portMapping)
  const mapped = new Set(portMapping.mappings.map(({ multiaddr }) => multiaddr))
  const verdicts = reachability.addresses.filter(({ multiaddr }) => mapped.has(multiaddr)).map(({ verdict }) => verdict)
  switch (portMapping.status) {
    case 'mapped':
      return verdicts.includes('public')
        ? ok(about, `${told}; reached from outside`)
        : verdicts.includes('private')
          ? warning(about, `${told}; not reached from outside`, 'a firewall or another router may block the port')
          : ok(about, `${told}; not dialled from outside yet`)
    case 'unmapped':
      return reachability.verdict === 'public'
        ? ok(about, `${told}; peers reach the node without it`)
        : warning(about, told, 'switch on UPnP or NAT-PMP in the router, or forward the port there and name it with --announce')
    default:
      return skipped(about, told)
  }
}

const SAID = { reached: 'public: reached from outside', failed: 'not reached from outside', declined: 'not dialled from outside' }

const KIND_WORDS = {
  public: 'announced; public, not tested from outside yet',
  name: 'announced; a name, not tested from outside yet',
  private: 'announced; inside a private network',
  loopback: 'announced; on this machine alone',
  never: 'announced; no peer dials such an address',
} satisfies Record<ReturnType<typeof kindOf>, string>

function withoutPeer(address: string): string {
  return address.replace(/\/p2p\/[^/]+$/, '')
}

async function* examineBootstraps({ session, settings, options }: NodeInit): AsyncGenerator<Finding> {
  if (settings.bootstrap.length === 0) {
    yield skipped({ check: 'bootstrap' }, 'none is configured: --bootstrap names a peer to connect to first')
  }
  const findings = settings.bootstrap.map(async (address) => {
    const about = { check: 'bootstrap', subject: address }
    return examine(about, options().signal, async () => {
      const { roundTripMs } = await session.ping(address, options())
      return judgeProtocols(about, settings, roundTripMs, await rowOf(session, address, options()))
    })
  })
  yield* inOrder(findings)
}

async function rowOf(session: Session, address: string, options: SessionOptions): Promise<PeerRow | undefined> {
  const peerId = peerIdOf(parseMultiaddr(address))?.toString()
  return (await session.peers(options)).find((row) => row.peerId === peerId)
}

/** Checks by its protocols whether a peer belongs to this network and subnet. */
function judgeProtocols(
  about: { check: string; subject: string },
  settings: NodeInit['settings'],
  roundTripMs: number,
  row: PeerRow | undefined,
): Finding {
  const answers = `answers in ${humanMs(roundTripMs)}`
  const protocols = row?.protocols ?? []
  const subnets = protocols.flatMap((id) => /^\/subnet\/(\d+)\/kad\//.exec(id)?.[1] ?? [])
  if (row?.network != null && row.network !== settings.network) {
    return problem(about, {
      code: 'PROTOCOL_UNSUPPORTED',
      message: `${answers}, but is in the network ${row.network}: this node is in ${settings.network}`,
      hint: `--network ${row.network} selects that network`,
    })
  }
  if (subnets.length > 0 && !subnets.includes(String(settings.subnetId))) {
    return problem(about, {
      code: 'PROTOCOL_UNSUPPORTED',
      message: `${answers}, but is in subnet ${subnets.join(', ')}: this node is in ${settings.subnetId}`,
      hint: '--subnet-id selects the subnet',
    })
  }
  if (protocols.length === 0) {
    return warning(about, `${answers}, but has not listed its protocols yet`)
  }
  return ok(about, protocols.includes(TASK_PROTOCOL_ID) ? answers : `${answers}; it takes no tasks`)
}

/** True if a running node has no peer, and neither a bootstrap nor an address that other nodes read. */
function isHidden(
  { connections }: StatusAnswer,
  { bootstrap, chain }: NodeSettingsAnswer,
  known: ChainPeerAnswer | ChainMiss,
  home: Home,
): boolean {
  const published = 'multiaddrs' in known && known.multiaddrs.length > 0 && !isOwnLedger(chain, home)
  return bootstrap.length + connections.inbound + connections.outbound === 0 && !published
}

/** The chain's answer about this peer. */
async function readChain(session: Session, options: SessionOptions): Promise<ChainPeerAnswer | ChainMiss> {
  return session.chain.show(undefined, options).catch((error: unknown) => {
    if (error instanceof ChainLookupError) {
      return error.details
    }
    throw error
  })
}

function judgeChain(shown: ChainPeerAnswer | ChainMiss): Finding {
  const about = { check: 'chain' }
  const read = `block ${shown.block}, read ${humanMs(Math.max(0, Date.now() - shown.readAtMs))} ago`
  if (shown.stale) {
    return problem(about, {
      code: 'CHAIN_UNAVAILABLE',
      message: `not reachable: the last answer is from ${read}`,
      hint: '"subnet status" shows the last error',
    })
  }
  return ok(
    about,
    `${read}; ${'admission' in shown ? `the chain knows this peer${shown.role == null ? '' : ` as ${shown.role}`}` : 'the chain does not know this peer'}`,
  )
}
