import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../../src/index.ts'
import { addressOf, Lab } from '../../support/nodes.ts'
import { eventually } from '../../support/protocol-host.ts'
import { type Answers, type RelayAttack, type RelayCrowd, RelayStrangers } from '../../support/relay-crowd.ts'
import { STATUS } from '../../support/relay-requests.ts'
import { memoryInUse } from '../../support/streams.ts'

const PEERS = 150
const ATTACK: RelayAttack = { reservations: 1_000, circuits: 200, bytes: 4 << 20 }
const ONE_HOST = ['127.0.0.2']
const MANY_HOSTS = Array.from({ length: PEERS }, (_, index) => `127.0.2.${index + 1}`)
const LOOK_EVERY_MS = 10
/** libp2p holds a connection for up to 10 s after its end. */
const FORGOTTEN_WITHIN_MS = 30_000
const COLLECT_EVERY_MS = 500

/** As `docs/security.md` has them. */
const PLACES = 128
const CIRCUITS_AT_HOST = 64
/** What waits for a peer that does not read: the largest window of the stream that comes in, and the first one of the stream that goes on. */
const HELD_BYTES = (1 << 20) + (256 << 10)
const KEPT_BYTES = 10e6
const UNANSWERED = 0

describe('a relay under 1,000 requests for a place and 200 calls of strangers', function () {
  this.timeout(180_000)
  const lab = new Lab()
  const strangers = new RelayStrangers()
  const kadProtocol = `/test/${randomUUID()}/kad/1.0.0`
  let relay: SubnetNode
  let caller: SubnetNode

  before(async () => {
    relay = await lab.node({ handler: ({ payload }) => payload, settings: { relayService: 'on', kadProtocol, heartbeatInterval: '10m' } })
    caller = await lab.idle({ settings: { kadProtocol } })
    await caller.start()
    await call()
  })

  after(async () => {
    await strangers.end()
    await lab.clean()
  })

  async function call(): Promise<void> {
    const { result } = await caller.tasks.sendTask(multiaddr(addressOf(relay)), 'own', Uint8Array.of(7))
    assert.deepEqual([...result], [7])
  }

  interface Attacked {
    reservations: Answers
    circuits: Answers
    /** The most of each at any time. */
    most: { reservations: number; circuits: number }
    /** Tasks of the relay's own that were answered meanwhile. */
    tasks: number
    /** In bytes more than before, while the circuits stand. */
    held: number
  }

  async function attackBy(crowd: Omit<RelayCrowd, 'address' | 'peers'>): Promise<Attacked> {
    await strangers.come({ address: addressOf(relay), peers: PEERS, ...crowd })
    const before = memoryInUse()
    const most = { reservations: 0, circuits: 0 }
    const looking = setInterval(() => {
      const { reservations = 0, circuits = 0 } = relay.stats.relay ?? {}
      most.reservations = Math.max(most.reservations, reservations)
      most.circuits = Math.max(most.circuits, circuits)
    }, LOOK_EVERY_MS)
    let isOver = false
    const attack = strangers.attack(ATTACK).finally(() => {
      isOver = true
    })
    let tasks = 0
    for (; !isOver; tasks++) {
      await call()
    }
    const answers = await attack
    clearInterval(looking)
    // while the circuits stand: what is still being freed is not held
    let held = Number.POSITIVE_INFINITY
    const isBounded = (): boolean => {
      const now = memoryInUse()
      held = Math.min(held, now.heap + now.external - before.heap - before.external)
      return held < most.circuits * HELD_BYTES
    }
    await eventually(isBounded, 'what is held is within its bound', FORGOTTEN_WITHIN_MS, COLLECT_EVERY_MS).catch(() => undefined)
    return { ...answers, most, tasks, held }
  }

  async function leave(): Promise<void> {
    await strangers.leave()
    await eventually(() => relay.connections.length === 1, 'all strangers have left', FORGOTTEN_WITHIN_MS)
    assert.deepEqual(relay.stats.relay, { on: true, reservations: 0, circuits: 0 })
    await call()
  }

  function figures({ most, tasks, held }: Attacked): string {
    return `${most.reservations} places, ${most.circuits} circuits, ${inMegabytes(held)} held, ${tasks} tasks of its own meanwhile`
  }

  it('gives those who are not of the subnet no place and no circuit', async () => {
    const { reservations, circuits, most } = await attackBy({ hosts: MANY_HOSTS })
    only(reservations, [STATUS.reservationRefused, STATUS.permissionDenied], ATTACK.reservations)
    only(circuits, [STATUS.noReservation], ATTACK.circuits)
    assert.deepEqual(most, { reservations: 0, circuits: 0 })
    await leave()
  })

  it('gives those who say that they are of the subnet, all from one address, the circuits of one address', async function () {
    const attacked = await attackBy({ kadProtocol, hosts: ONE_HOST })
    const { reservations, circuits, most, held } = attacked
    assert.ok(count(reservations, STATUS.ok) >= PLACES, JSON.stringify(reservations))
    only(reservations, [STATUS.ok, STATUS.reservationRefused], ATTACK.reservations)
    only(circuits, [STATUS.ok, STATUS.resourceLimitExceeded], ATTACK.circuits)
    assert.ok(count(circuits, STATUS.resourceLimitExceeded) > 0)
    assert.deepEqual(most, { reservations: PLACES, circuits: CIRCUITS_AT_HOST })
    assert.ok(held < CIRCUITS_AT_HOST * HELD_BYTES, inMegabytes(held))
    Object.assign(this.test ?? {}, { title: `${this.test?.title}: ${figures(attacked)}` })
    await leave()
  })

  it('gives those who say that they are of the subnet, each from an address of its own, its places, and keeps nothing of them', async function () {
    const before = memoryInUse()
    const attacked = await attackBy({ kadProtocol, hosts: MANY_HOSTS })
    const { reservations, circuits, most, held } = attacked
    only(reservations, [STATUS.ok, STATUS.reservationRefused], ATTACK.reservations)
    only(circuits, [STATUS.ok], ATTACK.circuits)
    assert.deepEqual(most, { reservations: PLACES, circuits: count(circuits, STATUS.ok) })
    assert.ok(held < ATTACK.circuits * HELD_BYTES, inMegabytes(held))
    Object.assign(this.test ?? {}, { title: `${this.test?.title}: ${figures(attacked)}` })
    await leave()
    const kept = (): number => memoryInUse().heap + memoryInUse().external - before.heap - before.external
    await eventually(() => kept() < KEPT_BYTES, 'the memory is given back', FORGOTTEN_WITHIN_MS, COLLECT_EVERY_MS)
  })
})

/** Nothing else was answered. A stranger that waited for too long on a busy machine got no answer, which few may. */
function only(answers: Answers, statuses: number[], asked: number): void {
  const { [UNANSWERED]: unanswered = 0, ...rest } = answers
  assert.deepEqual(
    Object.keys(rest).filter((status) => !statuses.map(String).includes(status)),
    [],
  )
  assert.ok(unanswered < asked / 10, `${unanswered} of ${asked} got no answer`)
}

function count(answers: Answers, status: number): number {
  return answers[status] ?? 0
}

function inMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
