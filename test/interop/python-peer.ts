import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { PYTHON } from './environment.ts'

const PEER = fileURLToPath(new URL('peer.py', import.meta.url))

/** What a Python peer is. It answers identify and ping in any case. */
export interface PeerInit {
  /** @default ed25519 */
  key?: 'ed25519' | 'secp256k1' | 'rsa'
  /** Answers tasks. */
  tasks?: boolean
  /** A client asks and is not asked. */
  dht?: 'SERVER' | 'CLIENT'
  gossip?: boolean
}

export type Line = Record<string, unknown>

/** What some bytes are, for whoever does not want to have them. */
export interface Digest {
  bytes: number
  sha256: string
}

/** A command that the Python peer could not carry out. */
export class PythonFailure extends Error {
  override readonly name = 'PythonFailure'
  /** The class of the exception. */
  readonly failed: string

  constructor(failed: string, why: string) {
    super(`${failed}: ${why}`)
    this.failed = failed
  }
}

/** Python peers of one test; after `clean` none is left, whatever happened. */
export class PythonLab {
  readonly #peers: PythonPeer[] = []

  async peer(init: PeerInit = {}): Promise<PythonPeer> {
    if (!existsSync(PYTHON)) {
      throw new Error('there is no virtualenv: node test/interop/environment.ts makes it')
    }
    const child = spawn(PYTHON, ['-I', PEER, JSON.stringify(init)], { stdio: ['pipe', 'pipe', 'pipe'] })
    const peer = new PythonPeer(child)
    this.#peers.push(peer)
    await peer.started()
    return peer
  }

  async clean(): Promise<void> {
    await Promise.all(this.#peers.splice(0).map(async (peer) => peer.kill()))
  }
}

/** A py-libp2p peer in a process of its own: peer.py says what it can be told and what it tells. */
export class PythonPeer {
  /** Once it has started. */
  peerId = ''
  address = ''
  readonly #child: ChildProcess
  readonly #stdin: Writable
  readonly #ended = Promise.withResolvers<void>()
  readonly #replies = new Map<number, { resolve: (line: Line) => void; reject: (error: Error) => void }>()
  readonly #events: Line[] = []
  readonly #waiting: Array<{ take: (event: Line) => boolean; reject: (error: Error) => void }> = []
  #stderr = ''
  #over = false
  #commands = 0

  constructor(child: ChildProcess) {
    this.#child = child
    this.#stdin = child.stdin as Writable
    // it may be gone before it has read a command: the end of the process tells
    this.#stdin.on('error', () => undefined)
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString()
    })
    createInterface({ input: child.stdout as Readable }).on('line', (line) => this.#onLine(JSON.parse(line)))
    child.on('error', (error) => this.#onEnd(error))
    child.on('close', (code, signal) => this.#onEnd(new Error(`the Python peer ended (${signal ?? code}): ${this.#stderr.slice(-4_000)}`)))
  }

  async started(): Promise<void> {
    const { peerId, addresses } = await this.event('ready')
    this.peerId = String(peerId)
    this.address = String((addresses as string[])[0])
  }

  /** Has it do something. @throws PythonFailure */
  async do<Answer = Line>(what: string, given: Line = {}): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Line>()
    const id = ++this.#commands
    if (this.#over) {
      throw new Error('the Python peer has ended')
    }
    this.#replies.set(id, { resolve, reject })
    this.#stdin.write(`${JSON.stringify({ id, do: what, ...given })}\n`)
    return promise as Promise<Answer>
  }

  /** The first event of this name that the filter takes and that was not given before. */
  async event<Event extends Line = Line>(name: string, matches: (event: Event) => boolean = () => true): Promise<Event> {
    const wanted = (event: Line): event is Event => event['event'] === name && matches(event as Event)
    const index = this.#events.findIndex(wanted)
    if (index >= 0) {
      return this.#events.splice(index, 1)[0] as Event
    }
    const { promise, resolve, reject } = Promise.withResolvers<Event>()
    const take = (event: Line): boolean => {
      const taken = wanted(event)
      if (taken) {
        resolve(event)
      }
      return taken
    }
    this.#waiting.push({ take, reject })
    return promise
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended.promise
  }

  #onLine({ reply, ...line }: Line): void {
    if (reply == null) {
      const index = this.#waiting.findIndex(({ take }) => take(line))
      if (index >= 0) {
        this.#waiting.splice(index, 1)
      } else {
        this.#events.push(line)
      }
      return
    }
    const command = this.#replies.get(Number(reply))
    this.#replies.delete(Number(reply))
    if ('failed' in line) {
      command?.reject(new PythonFailure(String(line['failed']), String(line['why'])))
    } else {
      command?.resolve(line)
    }
  }

  #onEnd(error: Error): void {
    this.#over = true
    for (const { reject } of [...this.#replies.values(), ...this.#waiting.splice(0)]) {
      reject(error)
    }
    this.#replies.clear()
    this.#ended.resolve()
  }
}
