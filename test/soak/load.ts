import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { SubnetProcess } from '../chaos/processes.ts'
import { ThrowawayPeers } from '../support/throwaway-crowd.ts'

const VISITORS = 80
/**
 * A visitor gives up after a few seconds: where the machine is busy it may do so before the node is at fault. Most only look in: the new identity, not
 * what it asks, is what the node may keep.
 */
const VISIT = { mayFail: 16, atOnce: 16, thoroughEvery: 8 }
const BATCH = 400
const LARGE_EVERY = 40
const SMALL_BYTES = 64
const LARGE_BYTES = 300_000
/** An unknown peer. */
const NOBODY = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
const NOT_FOUND = 3
/** A batch has one dial of its own, which a busy machine may let come too late. */
const UNREACHABLE = 4
const TIMEOUT = '60s'

/** Between two commands, and between two batches: each starts a process, and most of what that costs is not the node's. */
const [COMMAND_PAUSE_MS, BATCH_PAUSE_MS] = [1_000, 2_000]

/** Not longer than the signal lets it be. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined)
}

export interface LoadOptions {
  folder: string
  /** The home of the node, for commands that run on it. */
  home: string
  address: string
  kadProtocol: string
  signal: AbortSignal
}

/** Everything that a node has to do, at once: visitors with new identities, batches of tasks, and commands in its home. */
export class Load {
  readonly #options: LoadOptions
  visitors = 0
  visitorsFailed = 0
  tasks = 0
  /** Tasks that were not accepted. */
  unreached = 0
  commands = 0
  readonly failures: string[] = []

  constructor(options: LoadOptions) {
    this.#options = options
  }

  /** Until the signal. */
  async run(): Promise<void> {
    await Promise.all([this.#visits(), this.#batches(), this.#drives()])
  }

  async #visits(): Promise<void> {
    const { address, kadProtocol, signal } = this.#options
    const peers = new ThrowawayPeers()
    try {
      while (!signal.aborted) {
        await peers.visit(address, kadProtocol, VISITORS, VISIT)
        this.visitorsFailed = peers.failed
        this.visitors += VISITORS
      }
    } catch (error) {
      this.failures.push(`visitors: ${error instanceof Error ? error.message : String(error)}`)
    } finally {
      await peers.end()
    }
  }

  async #batches(): Promise<void> {
    const { folder, address, signal } = this.#options
    const home = join(folder, 'caller')
    await mkdir(home, { mode: 0o700 })
    await writeFile(join(home, 'config.json'), JSON.stringify({ allowPrivate: true }))
    while (!signal.aborted) {
      const lines = Array.from({ length: BATCH }, (_, index) => {
        const text = `${index} `.padEnd(index % LARGE_EVERY === 0 ? LARGE_BYTES : SMALL_BYTES, 'x')
        return `${JSON.stringify({ text })}\n`
      })
      const { stdout } = await this.#run(home, ['send-task', address, '--batch', '-'], [0, UNREACHABLE], lines.join(''))
      const accepted = stdout.split('\n').filter((line) => line.includes('"accepted":true')).length
      this.tasks += BATCH
      this.unreached += BATCH - accepted
      await pause(BATCH_PAUSE_MS, signal)
    }
  }

  async #drives(): Promise<void> {
    const { home, signal } = this.#options
    const commands: Array<[args: string[], code: number]> = [
      [['status'], 0],
      [['peers'], 0],
      [['resolve', NOBODY], NOT_FOUND],
      [['id'], 0],
    ]
    while (!signal.aborted) {
      for (const [args, code] of commands) {
        await this.#run(home, args, [code])
        this.commands++
        await pause(COMMAND_PAUSE_MS, signal)
      }
    }
  }

  async #run(home: string, args: string[], codes: number[], stdin?: string): Promise<{ stdout: string }> {
    const command = new SubnetProcess({
      home,
      within: [],
      args: [...args, '--json', '--timeout', TIMEOUT],
      ...(stdin == null ? {} : { stdin }),
    })
    const ended = await command.ended
    if (!codes.includes(ended.code ?? -1)) {
      this.failures.push(
        `${args.join(' ')} ended with ${ended.code ?? ended.signal}: ${`${ended.stderr} ${ended.stdout}`.trim().slice(0, 400)}`,
      )
    }
    return ended
  }
}
