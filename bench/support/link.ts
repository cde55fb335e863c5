import type { Socket } from 'node:net'
import type { Stream } from '@libp2p/interface'
import { FrameReader, headerOf } from './frames.ts'

/** Frames both ways on something that is kept open. What comes goes to the `onFrame` that it was made with. */
export interface Link {
  send(body: Uint8Array): void
  close(): void
}

type OnFrame = (body: Buffer) => void

/** Over a socket, with TLS or without. */
export function socketLink(socket: Socket, onFrame: OnFrame): Link {
  const reader = new FrameReader(onFrame)
  socket.setNoDelay().on('data', (chunk) => reader.read(chunk as Buffer))
  return {
    send(body) {
      socket.cork()
      socket.write(headerOf(body))
      socket.write(body)
      socket.uncork()
    },
    close: () => void socket.destroy(),
  }
}

/** Over a libp2p stream, `chunkBytes` at a time. Must be made in the same turn as the stream. */
export function streamLink(stream: Stream, onFrame: OnFrame, chunkBytes = 64 * 1_024): Link {
  const reader = new FrameReader(onFrame)
  const unsent: Uint8Array[] = []
  const sendOn = (): void => {
    while (!stream.writableNeedsDrain) {
      const chunk = unsent.shift()
      if (chunk == null) {
        return
      }
      stream.send(chunk)
    }
  }
  stream.addEventListener('message', ({ data }) => {
    for (const chunk of data instanceof Uint8Array ? [data] : data) {
      reader.read(chunk)
    }
  })
  // the stream's own listener comes first and goes on with what it still has
  stream.addEventListener('drain', () => queueMicrotask(sendOn))
  return {
    send(body) {
      const first = body.subarray(0, chunkBytes)
      unsent.push(Buffer.concat([headerOf(body), first]))
      for (let at = first.byteLength; at < body.byteLength; at += chunkBytes) {
        unsent.push(body.subarray(at, at + chunkBytes))
      }
      sendOn()
    },
    close: () => stream.abort(new Error('no longer needed')),
  }
}

/** Requests on one link; answers come in the order of the requests. */
export class KeptClient implements Disposable {
  readonly #link: Link
  readonly #waiting: Array<(body: Buffer) => void> = []

  constructor(open: (onFrame: OnFrame) => Link) {
    this.#link = open((body) => this.#waiting.shift()?.(body))
  }

  async request(body: Uint8Array): Promise<Buffer> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#link.send(body)
    })
  }

  [Symbol.dispose](): void {
    this.#link.close()
  }
}
