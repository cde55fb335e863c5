import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { Deadline } from '../../primitives/deadline.ts'
import { asNoAnswer, type Gateway, GatewayError, type Lease, type MappedPort, type Place, type Transport } from './gateway.ts'

export interface NatPmpInit extends Place {
  /** UDP port of the router. @default 5351 */
  port?: number | undefined
  /** Wait for the first answer, in milliseconds. @default 250 */
  firstWaitMs?: number | undefined
}

const PORT = 5351
const VERSION = 0
/** Opcodes of requests (RFC 6886, 3.2 and 3.3). An answer adds 128. */
const OPCODES = { address: 0, udp: 1, tcp: 2 } satisfies Record<Transport | 'address', number>
const ANSWER = 128
/** Minimum size of an answer: an error, an address, a mapping. */
const BYTES = { error: 8, address: 12, mapping: 16 }
/** Result codes (RFC 6886, 3.5). */
const RESULTS = ['success', 'unsupported version', 'not authorized', 'network failure', 'out of resources', 'unsupported opcode']
/** Number of attempts. The wait doubles after each. RFC 6886 continues for another minute. */
const TRIES = 4
const FIRST_WAIT_MS = 250

/** A router with NAT-PMP (RFC 6886). Accepts datagrams only from the router's own address and port. */
export class NatPmp implements Gateway {
  readonly protocol = 'NAT-PMP'
  readonly #init: NatPmpInit

  constructor(init: NatPmpInit) {
    this.#init = init
  }

  async externalAddress(signal: AbortSignal): Promise<string> {
    const answer = await this.#ask(Buffer.from([VERSION, OPCODES.address]), BYTES.address, signal)
    return [...answer.subarray(8, 12)].join('.')
  }

  async map(port: MappedPort, leaseMs: number, signal: AbortSignal): Promise<Lease> {
    const answer = await this.#ask(requestOf(port, Math.ceil(leaseMs / 1_000)), BYTES.mapping, signal)
    return { externalPort: answer.readUInt16BE(10), leaseMs: answer.readUInt32BE(12) * 1_000 }
  }

  async unmap(port: MappedPort, signal: AbortSignal): Promise<void> {
    await this.#ask(requestOf({ ...port, externalPort: 0 }, 0), BYTES.mapping, signal)
  }

  async #ask(request: Buffer, minBytes: number, signal: AbortSignal): Promise<Buffer> {
    const { router, localAddress, port = PORT, firstWaitMs = FIRST_WAIT_MS } = this.#init
    signal.throwIfAborted()
    using deadline = new Deadline(firstWaitMs * (2 ** TRIES - 1), signal)
    await using opened = new AsyncDisposableStack()
    const socket = opened.adopt(createSocket('udp4'), async (own) => closed(own))
    try {
      socket.bind({ address: localAddress })
      await once(socket, 'listening', { signal: deadline.signal })
      socket.connect(port, router)
      await once(socket, 'connect', { signal: deadline.signal })
      const answered = answerOf(socket, request, minBytes)
      void repeat(socket, request, firstWaitMs, deadline.signal)
      return await deadline.race(answered)
    } catch (error) {
      signal.throwIfAborted()
      throw asNoAnswer(error, 'the router does not answer NAT-PMP')
    }
  }
}

/** Encodes a mapping request (RFC 6886, 3.3). */
function requestOf({ transport, internalPort, externalPort }: MappedPort, leaseSeconds: number): Buffer {
  const request = Buffer.alloc(12)
  request.writeUInt8(OPCODES[transport], 1)
  request.writeUInt16BE(internalPort, 4)
  request.writeUInt16BE(externalPort, 6)
  request.writeUInt32BE(leaseSeconds, 8)
  return request
}

/** The first datagram that answers the request. All others are ignored. */
async function answerOf(socket: Socket, request: Buffer, minBytes: number): Promise<Buffer> {
  const answer = Promise.withResolvers<Buffer>()
  socket.on('error', answer.reject)
  socket.on('message', (message) => {
    const result = resultOf(message, request)
    if (result != null && result !== 0) {
      answer.reject(new GatewayError('REFUSED', `the router says no: ${RESULTS[result] ?? `result ${result}`}`))
    } else if (result === 0 && message.byteLength >= minBytes && isAbout(message, request)) {
      answer.resolve(message)
    }
  })
  return answer.promise
}

/** Undefined for a datagram that does not answer this request. */
function resultOf(message: Buffer, request: Buffer): number | undefined {
  return message.byteLength >= BYTES.error && message[0] === VERSION && message[1] === ANSWER + (request[1] ?? 0)
    ? message.readUInt16BE(2)
    : undefined
}

/** A mapping repeats the internal port of its request. */
function isAbout(message: Buffer, request: Buffer): boolean {
  return request[1] === OPCODES.address || message.readUInt16BE(8) === request.readUInt16BE(4)
}

async function repeat(socket: Socket, request: Buffer, firstWaitMs: number, signal: AbortSignal): Promise<void> {
  try {
    for (let tries = 0; tries < TRIES; tries++) {
      socket.send(request)
      await pause(firstWaitMs * 2 ** tries, undefined, { signal, ref: false })
    }
  } catch {
    // the socket is closed or the request has ended
  }
}

async function closed(socket: Socket): Promise<void> {
  const over = once(socket, 'close')
  socket.close()
  await over
}
