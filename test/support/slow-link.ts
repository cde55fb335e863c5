import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { NetworkNamespace } from './network-namespace.ts'

const SCRIPT = fileURLToPath(new URL('slow-link.py', import.meta.url))

/** Packets of one connection and direction that are lost at most one after the other: with more, TCP alone is silent for 13 s. */
const MOST_IN_A_ROW = Number(process.env['LOST_IN_A_ROW'] ?? 3)

/** Ends with its stdin. */
type Child = ChildProcessByStdio<Writable, Readable, Readable>

export interface SlowLinkInit {
  /** Of a packet there and its answer back, in milliseconds. */
  roundTripMs: number
  /** Of the packets each way, in percent. */
  loss: number
}

/**
 * A network of its own in which this machine reaches itself over a slow link that loses packets: who listens at `near` is
 * reached at `far`. It takes the right to make a namespace, a TUN device, and Python.
 */
export class SlowLink {
  static readonly near = '10.9.0.1'
  static readonly far = '10.9.0.2'
  readonly #network: NetworkNamespace
  readonly #child: Child

  private constructor(network: NetworkNamespace, child: Child) {
    this.#network = network
    this.#child = child
  }

  /** @throws Error that says what is missing */
  static async open({ roundTripMs, loss }: SlowLinkInit): Promise<SlowLink> {
    const network = await NetworkNamespace.open()
    const [program = '', ...entering] = network.within
    const child: Child = spawn(program, [...entering, 'python3', SCRIPT, String(roundTripMs / 2), String(loss), String(MOST_IN_A_ROW)], {
      stdio: 'pipe',
    })
    const complaints: Buffer[] = []
    child.stderr.on('data', (chunk: Buffer) => complaints.push(chunk))
    const ended = once(child, 'close').then(() => {
      throw new Error(Buffer.concat(complaints).toString().trim().split('\n').at(-1) || 'the link ended')
    })
    try {
      await Promise.race([once(child.stdout, 'data'), ended])
      ended.catch(() => undefined)
      return new SlowLink(network, child)
    } catch (error) {
      await network.close()
      throw error
    }
  }

  /** Before a command it makes the command run on this link. */
  get within(): string[] {
    return this.#network.within
  }

  async close(): Promise<void> {
    if (this.#child.exitCode == null && this.#child.signalCode == null) {
      this.#child.stdin.end()
      await once(this.#child, 'close')
    }
    await this.#network.close()
  }
}

/** Why there can be none here; undefined where there can. */
export async function whyNoSlowLink(): Promise<string | undefined> {
  try {
    await (await SlowLink.open({ roundTripMs: 0, loss: 0 })).close()
    return undefined
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).trim().replaceAll(/\s+/g, ' ')
  }
}
