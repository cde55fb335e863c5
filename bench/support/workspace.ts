import { type ChildProcess, fork, spawn } from 'node:child_process'
import { EventEmitter, on, once } from 'node:events'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { raceSignal } from 'race-signal'

const PACKAGE_ROOT = fileURLToPath(new URL('../..', import.meta.url))
const CLI = join(PACKAGE_ROOT, 'bin', 'run.js')
/** How long a process that is told to end may take before it is killed. */
const GRACE_MS = 3_000

/** A process did not do what was expected of it. `output` is what it wrote to stderr. */
export class ProcessError extends Error {
  override readonly name = 'ProcessError'
  readonly output: string

  constructor(message: string, output: string) {
    super(message)
    this.output = output.trim()
  }
}

/** One line of `subnet start --json`. */
export interface NodeEvent {
  event: string
  atMs: number
  peerId: string
  multiaddrs: string[]
}

/** What a command that ended left: its stdout, and how long it took as a whole process. */
export interface Finished {
  stdout: Buffer
  ms: number
}

/** A temporary folder and `subnet` processes. Nothing of them is left once it is disposed. */
export class Workspace implements AsyncDisposable {
  readonly folder: string
  readonly #signal: AbortSignal
  readonly #children = new Set<ChildProcess>()

  private constructor(folder: string, signal: AbortSignal) {
    this.folder = folder
    this.#signal = signal
  }

  /** @param signal ends every wait of this workspace */
  static async open(name: string, signal: AbortSignal): Promise<Workspace> {
    await access(join(PACKAGE_ROOT, 'dist', 'cli', 'main.js')).catch(() => {
      throw new Error('the command line is not built yet: run "npm run build" first')
    })
    return new Workspace(await mkdtemp(join(tmpdir(), `subnet-${name}-`)), signal)
  }

  path(...names: string[]): string {
    return join(this.folder, ...names)
  }

  /** `subnet start …`, as soon as it says that it is ready. */
  async start(name: string, args: string[]): Promise<RunningNode> {
    const node = new RunningNode(name, this.#spawn([CLI, ...args, '--json']), this.#signal)
    await node.event('ready', () => true)
    return node
  }

  /** `subnet …`, run to its end. @throws ProcessError when it exits with anything but 0 */
  async run(args: string[]): Promise<Finished> {
    return this.node([CLI, ...args])
  }

  /** `node …`, run to its end. @throws ProcessError when it exits with anything but 0 */
  async node(args: string[]): Promise<Finished> {
    const startedAtMs = performance.now()
    const child = this.#spawn(args)
    const stdout: Buffer[] = []
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
    const stderr = textOf(child)
    const [code, signal] = await once(child, 'close', { signal: this.#signal })
    const ms = performance.now() - startedAtMs
    if (code !== 0) {
      const answer = Buffer.concat(stdout).toString()
      throw new ProcessError(`"${commandName(args)}" ended with ${code ?? signal} instead of 0.`, `${stderr()}\n${answer}`)
    }
    return { stdout: Buffer.concat(stdout), ms }
  }

  /** The CPU time of `node …`, run to its end, in milliseconds: its own and the system's for it. @throws ProcessError as `node` */
  async cpuMs(args: string[]): Promise<number> {
    const child = this.#spawn(['-c', 'TIMEFORMAT="%3U %3S"; time "$@" >/dev/null', 'bash', process.execPath, ...args], 'bash')
    const stderr = textOf(child)
    const [code, signal] = await once(
      child.on('error', () => undefined),
      'close',
      { signal: this.#signal },
    )
    const [, user, system] = /([\d.]+) ([\d.]+)\s*$/.exec(stderr()) ?? []
    if (code !== 0 || user == null || system == null) {
      throw new ProcessError(`"${commandName(args)}" ended with ${code ?? signal} instead of 0.`, stderr())
    }
    return (Number(user) + Number(system)) * 1_000
  }

  /** `subnet …`, as `cpuMs`. */
  async commandCpuMs(args: string[]): Promise<number> {
    return this.cpuMs([CLI, ...args])
  }

  /** Runs a module of one's own in a process; gives the first message that it sends. @throws ProcessError */
  async fork<Message>(module: URL, args: string[]): Promise<Message> {
    this.#signal.throwIfAborted()
    const child = this.#keep(fork(module, args, { env: cleanEnvironment(), stdio: ['ignore', 'ignore', 'pipe', 'ipc'] }))
    const stderr = textOf(child)
    const ended = once(child, 'close', { signal: this.#signal }).then(() => {
      throw new ProcessError(`${module.pathname} ended before it was ready.`, stderr())
    })
    ended.catch(() => undefined)
    const [message] = await Promise.race([once(child, 'message', { signal: this.#signal }), ended])
    return message
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#children].map(end))
    await rm(this.folder, { recursive: true, force: true })
  }

  #spawn(args: string[], program = process.execPath): ChildProcess {
    this.#signal.throwIfAborted()
    return this.#keep(spawn(program, args, { cwd: PACKAGE_ROOT, env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] }))
  }

  #keep(child: ChildProcess): ChildProcess {
    this.#children.add(child)
    child.once('close', () => this.#children.delete(child))
    return child
  }
}

/** A process that runs a node, and everything it told since it was started. */
export class RunningNode {
  readonly #name: string
  readonly #child: ChildProcess
  readonly #signal: AbortSignal
  readonly #told: NodeEvent[] = []
  readonly #news = new EventEmitter()
  readonly #stderr: () => string

  constructor(name: string, child: ChildProcess, signal: AbortSignal) {
    this.#name = name
    this.#child = child
    this.#signal = signal
    this.#stderr = textOf(child)
    if (child.stdout != null) {
      createInterface(child.stdout).on('line', (line) => {
        this.#told.push(JSON.parse(line))
        this.#news.emit('event')
      })
    }
    child.once('close', () => this.#news.emit('event'))
  }

  get pid(): number {
    return this.#child.pid as number
  }

  get peerId(): string {
    return this.#ready.peerId
  }

  get multiaddr(): string {
    return this.#ready.multiaddrs[0] as string
  }

  get readyAtMs(): number {
    return this.#ready.atMs
  }

  /** The first event of this name that `matches`: one that was told already, or the next. @throws ProcessError */
  async event(name: string, matches: (event: NodeEvent) => boolean, timeoutMs = 20_000): Promise<NodeEvent> {
    const deadline = AbortSignal.timeout(timeoutMs)
    const news = on(this.#news, 'event', { signal: AbortSignal.any([this.#signal, deadline]) })
    try {
      while (true) {
        const found = this.told(name, matches)
        if (found != null) {
          return found
        }
        if (this.#child.exitCode != null || this.#child.signalCode != null) {
          throw new ProcessError(`${this.#name} ended before it told of "${name}".`, this.#stderr())
        }
        await news.next()
      }
    } catch (error) {
      this.#signal.throwIfAborted()
      throw deadline.aborted ? new ProcessError(`${this.#name} did not tell of "${name}" within ${timeoutMs} ms.`, this.#stderr()) : error
    }
  }

  /** The first event of this name that `matches`, if it was told already. */
  told(name: string, matches: (event: NodeEvent) => boolean): NodeEvent | undefined {
    return this.#told.find((event) => event.event === name && matches(event))
  }

  /** Ends it like Ctrl-C does; gives the milliseconds that took. */
  async stop(): Promise<number> {
    const startedAtMs = performance.now()
    await raceSignal(end(this.#child), this.#signal)
    return performance.now() - startedAtMs
  }

  get #ready(): NodeEvent {
    return this.#told[0] as NodeEvent
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode != null || child.signalCode != null) {
    return
  }
  const closed = once(child, 'close')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), GRACE_MS)
  await closed
  clearTimeout(timer)
}

function textOf(child: ChildProcess): () => string {
  let text = ''
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return () => text
}

function commandName(args: string[]): string {
  return args[0] === CLI ? `subnet ${args[1]}` : `node ${args[0]}`
}

/** The settings of whoever runs this are not those of the nodes here. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('SUBNET_'))
  // nothing leaves this machine
  return { ...Object.fromEntries(own), SUBNET_PORT_MAPPING: 'false' }
}
