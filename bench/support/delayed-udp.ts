import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'

/** Forwards datagrams to a UDP port of this machine, and the answers back, each `delayMs` later. Each sender has a socket of its own, as behind a NAT. */
export async function listenDelayedUdp(port: number, delayMs: number): Promise<number> {
  const near = createSocket({ type: 'udp4', recvBufferSize: BUFFER_BYTES, sendBufferSize: BUFFER_BYTES }).bind(0, '127.0.0.1')
  const senders = new Map<number, Socket>()
  near.on('message', (datagram, { port: from }) => {
    let far = senders.get(from)
    if (far == null) {
      far = createSocket({ type: 'udp4', recvBufferSize: BUFFER_BYTES, sendBufferSize: BUFFER_BYTES })
      far.on('message', (answer) => later(delayMs, () => near.send(answer, from, '127.0.0.1')))
      senders.set(from, far)
    }
    const to = far
    later(delayMs, () => to.send(datagram, port, '127.0.0.1'))
  })
  await once(near, 'listening')
  return near.address().port
}

const BUFFER_BYTES = 1 << 20

/** Timers of one length run out in the order in which they were set. */
function later(delayMs: number, send: () => void): void {
  if (delayMs === 0) {
    send()
  } else {
    setTimeout(send, delayMs)
  }
}
