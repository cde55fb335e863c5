import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

export type Line = Record<string, unknown>

/** Stands for a payload in commands and events. */
export interface Digest {
  bytes: number
  sha256: string
}

/** A command that a foreign peer could not carry out. */
export class PeerFailure extends Error {
  override readonly name = 'PeerFailure'
  /** The class of the exception, or the kind of the error. */
  readonly failed: string

  constructor(failed: string, why: string) {
    super(`${failed}: ${why}`)
    this.failed = failed
  }
}

/** How peers of one stack are started. */
export interface Stack<Init> {
  /** In errors: "Python". */
  name: string
  /** The program and its arguments. @throws where it has not been made */
  command: (init: Partial<Init>) => Promise<[string, ...string[]]>
}

/** Foreign peers of one test; after `clean` none is left, whatever happened. */
export class ForeignLab<Init> {
  readonly #stack: Stack<Init>
  readonly #peers: ForeignPeer[] = []

  constructor(stack: Stack<Init>) {
    this.#stack = stack
  }

  async peer(init: Partial<Init> = {}): Promise<ForeignPeer> {
    const [program, ...args] = await this.#stack.command(init)
    const peer = new ForeignPeer(this.#stack.name, spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] }))
    this.#peers.push(peer)
    await peer.started()
    return peer
  }

  async clean(): Promise<void> {
    await Promise.all(this.#peers.splice(0).map(async (peer) => peer.kill()))
  }
}

/**
 * A peer of another stack in a process of its own. Each line of its stdin is a command, {"id": 1, "do": "call", ...}; each line of its stdout is
 * an answer, {"reply": 1, ...} or {"reply": 1, "failed": "StreamReset", "why": "..."}, or an event, {"event": "request", ...}. It ends with its stdin.
 */
export class ForeignPeer {
  /** Once it has started. */
  peerId = ''
  /** The first of its addresses. */
  address = ''
  /** The event with which it started: its addresses, and versions where it tells them. */
  ready: Line = {}
  readonly #stack: string
  readonly #child: ChildProcess
  readonly #stdin: Writable
  readonly #ended = Promise.withResolvers<void>()
  readonly #replies = new Map<number, { resolve: (line: Line) => void; reject: (error: Error) => void }>()
  readonly #events: Line[] = []
  readonly #waiting: Array<{ take: (event: Line) => boolean; reject: (error: Error) => void }> = []
  #stderr = ''
  #over = false
  #commands = 0

  constructor(stack: string, child: ChildProcess) {
    this.#stack = stack
    this.#child = child
    this.#stdin = child.stdin as Writable
    // it may be gone before it has read a command: the end of the process tells
    this.#stdin.on('error', () => undefined)
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString()
    })
    createInterface({ input: child.stdout as Readable }).on('line', (line) => this.#onLine(JSON.parse(line)))
    child.on('error', (error) => this.#onEnd(error))
    child.on('close', (code, signal) =>
      this.#onEnd(new Error(`the ${stack} peer ended (${signal ?? code}): ${this.#stderr.slice(-4_000)}`)),
    )
  }

  async started(): Promise<void> {
    this.ready = await this.event('ready')
    this.peerId = String(this.ready['peerId'])
    this.address = String((this.ready['addresses'] as string[])[0])
  }

  /** Has it do something. @throws PeerFailure */
  async do<Answer = Line>(what: string, given: Line = {}): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Line>()
    const id = ++this.#commands
    if (this.#over) {
      throw new Error(`the ${this.#stack} peer has ended`)
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
    if (this.#over) {
      throw new Error(`the ${this.#stack} peer has ended`)
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
      command?.reject(new PeerFailure(String(line['failed']), String(line['why'])))
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
