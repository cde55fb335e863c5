import type { MultiaddrConnection, StreamMessageEvent } from '@libp2p/interface'

/**
 * Records the first bytes received on a connection, at most `maxBytes`. A connection buffers bytes until its first message listener, so
 * recording starts with that listener.
 */
export function noteFirstBytes(connection: MultiaddrConnection, seen: { bytes: Uint8Array }, maxBytes: number): void {
  const note = ({ data }: StreamMessageEvent): void => {
    seen.bytes = Buffer.concat([seen.bytes, data.subarray(0, Math.min(data.byteLength, maxBytes - seen.bytes.length))])
    if (seen.bytes.length >= maxBytes) {
      connection.removeEventListener('message', note)
    }
  }
  const add = connection.addEventListener.bind(connection) as (...args: unknown[]) => void
  connection.addEventListener = (...args: unknown[]): void => {
    add(...args)
    if (args[0] === 'message') {
      connection.addEventListener = add
      connection.addEventListener('message', note)
    }
  }
}
