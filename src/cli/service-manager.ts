import { spawn } from 'node:child_process'
import type { Logger } from '../observe/logger.ts'

const NOTIFIER = 'systemd-notify'
const US_PER_MS = 1_000
/** The share of the watchdog time between two notifications: a single late notification is still in time. */
const EARLY = 1 / 2

/**
 * Reports the node's state to systemd (`Type=notify`, `NotifyAccess=all`), if systemd asks for it. Node has no Unix datagram sockets, so
 * `systemd-notify` sends the messages. A process with a blocked event loop sends none, and systemd restarts it (`WatchdogSec=`).
 */
export class ServiceManager {
  readonly #socket: string
  readonly #everyMs: number | undefined
  readonly #log: Logger
  #watchdog: NodeJS.Timeout | undefined
  #isDeaf = false

  /** Undefined without a notification socket. The programs that the node starts do not inherit the socket. */
  static of(environment: NodeJS.ProcessEnv, log: Logger): ServiceManager | undefined {
    const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: within, WATCHDOG_PID: pid } = environment
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) {
      delete environment[name]
    }
    const isForUs = pid == null || Number(pid) === process.pid
    const everyMs = isForUs && Number(within) > 0 ? Math.max(1, Math.floor((Number(within) / US_PER_MS) * EARLY)) : undefined
    return socket == null || socket === '' ? undefined : new ServiceManager({ socket, everyMs, log })
  }

  private constructor({ socket, everyMs, log }: { socket: string; everyMs: number | undefined; log: Logger }) {
    this.#socket = socket
    this.#everyMs = everyMs
    this.#log = log
  }

  /** Reports that the node is ready, and starts the watchdog notifications. */
  ready(): void {
    this.#tell('READY=1')
    if (this.#everyMs != null) {
      this.#watchdog = setInterval(() => this.#tell('WATCHDOG=1'), this.#everyMs).unref()
    }
  }

  stopping(): void {
    clearInterval(this.#watchdog)
    this.#tell('STOPPING=1')
  }

  #tell(state: string): void {
    const child = spawn(NOTIFIER, [state], { env: { ...process.env, NOTIFY_SOCKET: this.#socket }, stdio: 'ignore' })
    child.unref()
    child.on('error', (error) => this.#failed(error))
    child.on('exit', (code) => (code === 0 || code == null ? undefined : this.#failed(new Error(`${NOTIFIER} ended with ${code}`))))
  }

  #failed(error: Error): void {
    this.#log[this.#isDeaf ? 'debug' : 'warn']('cannot report the state of the node to the service manager', error)
    this.#isDeaf = true
  }
}
