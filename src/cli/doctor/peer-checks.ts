import { parseMultiaddr } from '../../primitives/address.ts'
import { isRelayed } from '../../primitives/address-kind.ts'
import { SubnetError } from '../../primitives/errors.ts'
import { humanMs } from '../../primitives/human-ms.ts'
import { TASK_PROTOCOL_ID } from '../../protocol/builtin/task.ts'
import type { Attempt } from '../../resolve/errors.ts'
import { TIER_NAMES, type TierName } from '../../resolve/tier.ts'
import type { Session, SessionOptions } from '../../session/session.ts'
import { reportOf } from '../text/report.ts'
import { examine, type Finding, inOrder, ok, problem, skipped, warning } from './finding.ts'

export interface PeerInit {
  session: Session
  /** A peer ID, an alias, or a multiaddr that ends in a peer ID. For a multiaddr no tier is asked. */
  peer: string
  /** The deadline and signal for each call. */
  options: () => SessionOptions & { signal: AbortSignal }
}

/**
 * Checks the route to a peer: each tier, each address dialled on its own, then a round trip and the protocols. Only the last two checks
 * decide the exit code, as for `send-task`. An empty tier or a dead address is no problem if another address works.
 */
export async function* examinePeer(init: PeerInit): AsyncGenerator<Finding> {
  const addresses = new Set<string>(init.peer.startsWith('/') ? [init.peer] : [])
  if (addresses.size === 0) {
    for await (const answer of inOrder(TIER_NAMES.map(async (tier) => askTier(init, tier)))) {
      if (answer != null) {
        yield answer.finding
      }
      for (const address of answer?.multiaddrs ?? []) {
        addresses.add(address)
      }
    }
  }
  yield* inOrder([...addresses].map(async (address) => dial(init, address)))
  const reached = await examine({ check: 'round trip' }, init.options().signal, async () => measure(init))
  yield reached
  if (reached.state === 'ok') {
    yield await examine({ check: 'protocols' }, init.options().signal, async () => listProtocols(init))
  }
}

/** Asks one tier; undefined if the node does not have the tier. */
async function askTier(
  { session, peer, options }: PeerInit,
  tier: TierName,
): Promise<{ finding: Finding; multiaddrs: string[] } | undefined> {
  const about = { check: 'tier', subject: tier }
  try {
    const { multiaddrs, attempts, ageMs } = await session.resolve(peer, { ...options(), tiers: [tier] })
    const age = ageMs == null ? '' : `, heard ${humanMs(ageMs)} ago`
    return { finding: ok(about, `${detailOf(attempts, tier) ?? 'known'}${age}: ${multiaddrs.join(' ')}`), multiaddrs }
  } catch (error) {
    options().signal.throwIfAborted()
    if (error instanceof SubnetError && error.code === 'USAGE') {
      if (tier === 'local') {
        return undefined
      }
      // the argument names no peer
      throw error
    }
    const report = reportOf(error)
    const attempts = 'attempts' in report ? (report.attempts as Attempt[]) : []
    const message = detailOf(attempts, tier) ?? report.message
    const outcome = attempts.find((attempt) => attempt.tier === tier)?.outcome
    return { finding: outcome === 'miss' ? skipped(about, message) : warning(about, message, report.hint ?? null), multiaddrs: [] }
  }
}

function detailOf(attempts: readonly Attempt[], tier: string): string | undefined {
  return attempts.find((attempt) => attempt.tier === tier)?.detail
}

async function dial({ session, options }: PeerInit, address: string): Promise<Finding> {
  const about = { check: 'address', subject: address }
  const startedAtMs = performance.now()
  try {
    await session.connect(address, options())
    const way = isRelayed(parseMultiaddr(address)) ? 'through a relay' : 'directly'
    return ok(about, `connected ${way} in ${humanMs(performance.now() - startedAtMs)}`)
  } catch (error) {
    options().signal.throwIfAborted()
    const { message, hint } = reportOf(error)
    return warning(about, message.replace(`${address}: `, ''), hint ?? null)
  }
}

async function measure({ session, peer, options }: PeerInit): Promise<Finding> {
  const { roundTripMs } = await session.ping(peer, options())
  return ok({ check: 'round trip' }, humanMs(roundTripMs))
}

async function listProtocols({ session, peer, options }: PeerInit): Promise<Finding> {
  const about = { check: 'protocols' }
  const { protocols } = await session.protocols.list(peer, options())
  const ids = protocols.map(({ id }) => id)
  return ids.includes(TASK_PROTOCOL_ID)
    ? ok(about, `the peer takes tasks and speaks ${ids.length} protocols: "subnet protocol list" names them`)
    : problem(about, {
        code: 'PROTOCOL_UNSUPPORTED',
        message: `the peer takes no tasks: it does not speak ${TASK_PROTOCOL_ID}`,
        hint: '"subnet protocol list" names the protocols that it speaks',
      })
}
