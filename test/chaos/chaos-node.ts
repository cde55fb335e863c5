import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { SubnetProcess } from './processes.ts'

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url))
const READY_WITHIN_MS = 60_000
/** The contract has 2 s; a busy machine gets longer. */
const STOPS_WITHIN_MS = 30_000

export interface ChaosNodeOptions {
  index: number
  folder: string
  address: string
  port: number
  within: string[]
  env: NodeJS.ProcessEnv
}

/** One of the nodes of a campaign: `subnet start` in a home of its own, and the journal of what it acted on. */
export class ChaosNode {
  readonly index: number
  readonly home: string
  readonly within: string[]
  readonly #options: ChaosNodeOptions
  readonly #journal: string
  #process: SubnetProcess | undefined
  #port: number
  peerId = ''
  /** Whether a fault has it in hand. */
  busy = false
  /** What went wrong with it as a process. */
  readonly complaints: string[] = []

  constructor(options: ChaosNodeOptions) {
    this.#options = options
    this.index = options.index
    this.within = options.within
    this.home = join(options.folder, `node-${options.index}`)
    this.#journal = join(options.folder, `journal-${options.index}`)
    this.#port = options.port
  }

  get multiaddr(): string {
    return `/ip4/${this.#options.address}/tcp/${this.#port}/p2p/${this.peerId}`
  }

  async prepare(config: object): Promise<void> {
    await mkdir(this.home, { recursive: true, mode: 0o700 })
    await writeFile(join(this.home, 'config.json'), JSON.stringify(config))
    await writeFile(this.#journal, '')
  }

  async start(args: string[] = []): Promise<void> {
    const { address, env } = this.#options
    const listen = ['--listen', `/ip4/${address}/tcp/${this.#port}`]
    const own = new SubnetProcess({
      home: this.home,
      args: ['start', '--json', '--handler', WORKER, ...listen, ...args],
      within: this.within,
      env: { ...env, SUBNET_CHAOS_JOURNAL: this.#journal },
    })
    this.#process = own
    void own.ended.then(({ code, signal, stderr }) => {
      if (own.told == null) {
        this.#complain(`it ended by itself with ${code ?? signal}: ${stderr.trim().split('\n').slice(-3).join(' | ')}`)
      }
    })
    const late = delay(READY_WITHIN_MS, 'late' as const, { ref: false })
    const ready = await Promise.race([own.ready, late])
    if (ready === 'late') {
      this.#complain(`it is not ready after ${READY_WITHIN_MS} ms`)
    } else if (ready != null) {
      this.peerId = ready.peerId
    }
  }

  async kill(): Promise<void> {
    this.#process?.signal('SIGKILL')
    await this.#process?.ended
  }

  async restart(port: number): Promise<void> {
    await this.stop()
    this.#port = port
    await this.start()
  }

  async stop(): Promise<void> {
    const own = this.#process
    if (own == null) {
      return
    }
    own.signal('SIGTERM')
    const late = setTimeout(() => {
      this.#complain(`it did not end ${STOPS_WITHIN_MS} ms after SIGTERM`)
      own.signal('SIGKILL')
    }, STOPS_WITHIN_MS)
    const { code, signal, stderr } = await own.ended
    clearTimeout(late)
    if (code !== 0) {
      this.#complain(`SIGTERM ended it with ${code ?? signal}: ${stderr.trim().split('\n').slice(-3).join(' | ')}`)
    }
  }

  freeze(): void {
    this.#process?.child.kill('SIGSTOP')
  }

  thaw(): void {
    this.#process?.child.kill('SIGCONT')
  }

  /** The tasks that it acted on, in order. */
  async acted(): Promise<Array<{ taskId: string; digest: string }>> {
    const lines = (await readFile(this.#journal, 'utf8')).split('\n').slice(0, -1)
    return lines.map((line) => {
      const [taskId = '', digest = ''] = line.split(' ')
      return { taskId, digest }
    })
  }

  #complain(what: string): void {
    this.complaints.push(`node ${this.index}: ${what}`)
  }
}
