import net from 'node:net'

const LOOPBACK = /^(127\.|::1$|localhost$)/

/**
 * From now on this process opens sockets to loopback only: a test may then tell its nodes of addresses that other machines have.
 * Gives what ends it.
 */
export function stayHere(): () => void {
  const { connect } = net.Socket.prototype
  net.Socket.prototype.connect = function (this: net.Socket, ...args: unknown[]): net.Socket {
    // as node:net calls it: the options, and a listener, in an array
    const [first] = args.flat(1)
    const host = typeof first === 'object' && first != null && 'host' in first ? String(first.host) : ''
    if (LOOPBACK.test(host)) {
      return Reflect.apply(connect, this, args)
    }
    return this.destroy(Object.assign(new Error(`the test stays on this machine: ${host} is not dialled`), { code: 'ENETUNREACH' }))
  }
  return () => {
    net.Socket.prototype.connect = connect
  }
}
