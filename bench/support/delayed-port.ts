import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/**
 * Forwards connections to a port of this machine and back, each byte `delayMs` later, at any bandwidth. A new connection takes a
 * round trip before its first byte travels, as it does on a network: the one that is accepted here costs none. What is under way is
 * kept in memory without bound.
 */
export async function listenDelayed(port: number, delayMs: number): Promise<number> {
  const server = createServer({ noDelay: true }, (near) => {
    const acceptedAtMs = performance.now()
    const far = connect({ port, host: '127.0.0.1', noDelay: true })
    forward(near, far, delayMs, acceptedAtMs + 3 * delayMs)
    forward(far, near, delayMs, 0)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function forward(from: Socket, to: Socket, delayMs: number, notBeforeMs: number): void {
  const underWay: Array<{ dueAtMs: number; arrive: () => void }> = []
  let timer: NodeJS.Timeout | undefined
  const arrive = (): void => {
    timer = undefined
    while ((underWay[0]?.dueAtMs ?? Number.POSITIVE_INFINITY) <= performance.now()) {
      underWay.shift()?.arrive()
    }
    schedule()
  }
  const schedule = (): void => {
    const [next] = underWay
    if (timer == null && next != null) {
      timer = setTimeout(arrive, Math.max(0, next.dueAtMs - performance.now()))
    }
  }
  const send = (what: () => void): void => {
    if (delayMs === 0) {
      what()
      return
    }
    underWay.push({ dueAtMs: Math.max(performance.now() + delayMs, notBeforeMs), arrive: what })
    schedule()
  }
  from.on('data', (chunk) => send(() => to.write(chunk)))
  from.on('end', () => send(() => to.end()))
  // either side may be gone first
  from.on('error', () => send(() => to.destroy()))
}
