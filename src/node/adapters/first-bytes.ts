import type { MultiaddrConnection, StreamMessageEvent } from '@libp2p/interface'

/** Notes the first bytes that come on a connection, at most `maxBytes`. Bytes wait in a connection until somebody listens: this joins the first who does. */
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
