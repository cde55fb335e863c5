import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { TempFolders } from './temp.ts'

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url))
/** A command that takes longer hangs, however busy the machine is. */
const HANGS_AFTER_MS = 90_000
const STOPS_WITHIN_MS = 10_000
/** What has not happened by then never will, however busy the machine is. */
const HAPPENS_WITHIN_MS = 60_000

/** How a process ended, and what it printed. */
export interface Outcome {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  /** The same as `stdout`. */
  bytes: Buffer
  stderr: string
}

export interface RunOptions {
  env?: NodeJS.ProcessEnv
  cwd?: string
  /** What it reads; nothing unless given. */
  stdin?: string | Uint8Array | Readable
  /** A command that runs the one behind it somewhere else. */
  within?: string[]
}

/** One line of `start --json`. */
export type CliEvent = { event: string; atMs: number } & Record<string, unknown>

/** Which version is run. */
export interface CliInit {
  /** Its `bin/run.js`. @default this tree's */
  bin?: string
  /** What every process of it has in its environment. */
  env?: NodeJS.ProcessEnv
}

/** Homes and processes of one test. After `clean` none is left, whatever happened. */
export class Cli {
  readonly #bin: string
  readonly #env: NodeJS.ProcessEnv
  readonly #folders = new TempFolders()
  readonly #running = new Set<Running>()

  constructor({ bin = BIN, env = {} }: CliInit = {}) {
    this.#bin = bin
    this.#env = env
  }

  async folder(): Promise<string> {
    return this.#folders.make()
  }

  /** A home of its own, with this config.json if any. */
  async home(config?: unknown): Promise<string> {
    const home = await this.folder()
    if (config != null) {
      await writeFile(join(home, 'config.json'), typeof config === 'string' ? config : JSON.stringify(config))
    }
    return home
  }

  /** Runs a command in a home, to its end. */
  async run(home: string, args: string[], options: RunOptions = {}): Promise<Outcome> {
    return this.launch(home, args, options).ended
  }

  /** Runs a command that must end with 0, and gives its JSON. */
  async json<Answer = Record<string, unknown>>(home: string, args: string[], options: RunOptions = {}): Promise<Answer> {
    const outcome = await this.run(home, [...args, '--json'], options)
    assert.equal(outcome.code, 0, `${args.join(' ')}: ${outcome.stdout} ${outcome.stderr}`)
    return JSON.parse(outcome.stdout)
  }

  /** Runs a shell script in which `subnet` is the command. */
  async shell(home: string, script: string, options: RunOptions = {}): Promise<Outcome> {
    return this.#spawn('/bin/sh', ['-c', `subnet() { "$SUBNET_TEST_NODE" "$SUBNET_TEST_BIN" "$@"; }\n${script}`], home, options).ended
  }

  /** Like `shell`, in bash, for what only that can do. */
  async bash(home: string, script: string): Promise<Outcome> {
    return this.#spawn('bash', ['-c', `subnet() { "$SUBNET_TEST_NODE" "$SUBNET_TEST_BIN" "$@"; }\n${script}`], home, {}).ended
  }

  /** Starts a command that may be told to end before it does. */
  launch(home: string, args: string[], options: RunOptions = {}): Running {
    return this.#spawn(process.execPath, [this.#bin, ...args], home, options)
  }

  /** `start --json` on a free loopback port, once it is ready. */
  async start(home: string, args: string[] = [], options: RunOptions = {}): Promise<RunningNode> {
    const listen = args.includes('--listen') ? [] : ['--listen', '/ip4/127.0.0.1/tcp/0']
    const running = this.launch(home, ['start', '--json', ...listen, ...args], options)
    return new RunningNode(running, await running.event('ready'))
  }

  /** Ends what still runs, and removes the homes. */
  async clean(): Promise<void> {
    await Promise.all([...this.#running].map(async (running) => running.end()))
    await this.#folders.clean()
  }

  #spawn(program: string, args: string[], home: string, options: RunOptions): Running {
    const own = Object.entries(process.env).filter(([name]) => !/^SUBNET_|^NO_COLOR$|^FORCE_COLOR$/.test(name))
    const env = {
      ...Object.fromEntries(own),
      SUBNET_HOME: home,
      // nothing leaves this machine
      SUBNET_PORT_MAPPING: 'false',
      SUBNET_TEST_NODE: process.execPath,
      SUBNET_TEST_BIN: this.#bin,
      ...this.#env,
      ...options.env,
    }
    const [first = program, ...rest] = [...(options.within ?? []), program, ...args]
    const child = spawn(first, rest, { env, cwd: options.cwd, stdio: [options.stdin == null ? 'ignore' : 'pipe', 'pipe', 'pipe'] })
    const running = new Running(child, options.stdin)
    this.#running.add(running)
    void running.ended.finally(() => this.#running.delete(running))
    return running
  }
}

/** A process that was started. */
export class Running {
  readonly child: ChildProcess
  readonly ended: Promise<Outcome>
  readonly events: CliEvent[] = []
  readonly #stdout: Buffer[] = []
  readonly #stderr: Buffer[] = []
  readonly #news = new EventTarget()
  #over = false

  constructor(child: ChildProcess, stdin: RunOptions['stdin']) {
    this.child = child
    child.stdout?.on('data', (chunk: Buffer) => this.#stdout.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => this.#stderr.push(chunk))
    const isNode = child.spawnargs.includes('start')
    if (isNode) {
      this.#readEvents()
    }
    if (child.stdin != null && stdin != null) {
      // one that ends without reading everything is no failure of the test
      pipeline(typeof stdin === 'string' || stdin instanceof Uint8Array ? [stdin] : stdin, child.stdin).catch(() => undefined)
    }
    // a node runs as long as its tests do
    const hangs = isNode ? undefined : setTimeout(() => child.kill('SIGKILL'), HANGS_AFTER_MS)
    this.ended = once(child, 'close').then(([code, signal]) => {
      clearTimeout(hangs)
      this.#over = true
      this.#news.dispatchEvent(new Event('news'))
      const bytes = Buffer.concat(this.#stdout)
      return { code, signal, bytes, stdout: bytes.toString(), stderr: this.stderr }
    })
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString()
  }

  /** The first event of this name that the filter takes, from the start of the process on. */
  async event(name: string, matches: (event: CliEvent) => boolean = () => true): Promise<CliEvent> {
    for (;;) {
      const found = this.events.find((event) => event.event === name && matches(event))
      if (found != null) {
        return found
      }
      if (this.#over) {
        throw new Error(`the process ended before the event ${name}: ${this.stderr} ${JSON.stringify(this.events)}`)
      }
      await once(this.#news, 'news')
    }
  }

  /** Waits until stdout matches. */
  async prints(text: RegExp): Promise<void> {
    while (!text.test(Buffer.concat(this.#stdout).toString())) {
      assert.ok(!this.#over, `the process ended without printing ${text}: ${this.stderr} ${Buffer.concat(this.#stdout)}`)
      await Promise.race([once(this.child.stdout as Readable, 'data'), this.ended])
    }
  }

  /** Waits until stderr matches. */
  async says(text: RegExp): Promise<void> {
    while (!text.test(this.stderr)) {
      assert.ok(!this.#over, `the process ended without saying ${text}: ${this.stderr}`)
      await Promise.race([once(this.child.stderr as Readable, 'data'), this.ended])
    }
  }

  /** Waits until it has begun to read its stdin, of which there must be more than a pipe holds. */
  async reads(): Promise<void> {
    await Promise.race([once(this.child.stdin as Writable, 'drain'), this.ended])
    assert.ok(!this.#over, `the process ended without reading: ${this.stderr}`)
  }

  /** Sends the signal; gives how the process ended, and after how long. */
  async signal(signal: NodeJS.Signals): Promise<Outcome & { ms: number }> {
    const sentAtMs = performance.now()
    this.child.kill(signal)
    const outcome = await this.ended
    return { ...outcome, ms: performance.now() - sentAtMs }
  }

  async end(): Promise<void> {
    this.child.kill('SIGTERM')
    const stuck = setTimeout(() => this.child.kill('SIGKILL'), STOPS_WITHIN_MS)
    await this.ended
    clearTimeout(stuck)
  }

  #readEvents(): void {
    createInterface({ input: this.child.stdout as Readable }).on('line', (line) => {
      try {
        this.events.push(JSON.parse(line))
      } catch {
        // not everything that is run here prints JSON
      }
      this.#news.dispatchEvent(new Event('news'))
    })
  }
}

/** A node that is ready. */
export class RunningNode {
  readonly running: Running
  readonly ready: CliEvent

  constructor(running: Running, ready: CliEvent) {
    this.running = running
    this.ready = ready
  }

  get peerId(): string {
    return String(this.ready['peerId'])
  }

  get address(): string {
    return (this.ready['multiaddrs'] as string[])[0] as string
  }

  async stop(): Promise<Outcome & { ms: number }> {
    return this.running.signal('SIGTERM')
  }
}

/** The only line of stdout, as JSON: a script that gets anything else breaks. */
export function onlyJson(outcome: Outcome): Record<string, unknown> {
  const lines = outcome.stdout.split('\n')
  assert.equal(lines.length, 2, `one line of JSON on stdout, not ${JSON.stringify(outcome.stdout)}; stderr: ${outcome.stderr}`)
  return JSON.parse(lines[0] as string)
}

/** The error of a command that ran with --json. */
export function jsonError(outcome: Outcome): { code: string; exit: number; message: string; hint?: string; attempts?: unknown[] } {
  const { error, ...rest } = onlyJson(outcome)
  assert.deepEqual(rest, {})
  return error as ReturnType<typeof jsonError>
}

/** The processes whose command line has this text in it. */
export async function processesWith(text: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,args='], { maxBuffer: 1 << 24 })
  return stdout.split('\n').filter((line) => line.includes(text) && !line.includes(BIN))
}

/** Polls until a process has this text in its command line. */
export async function present(text: string): Promise<void> {
  await until(async () => (await processesWith(text)).length > 0, `no process: ${text}`)
}

/** Polls until no process has this text in its command line; what is sent a SIGKILL is gone only a moment later. */
export async function gone(text: string): Promise<void> {
  await until(async () => (await processesWith(text)).length === 0, `still a process: ${text}`)
}

/** Polls until it holds. */
export async function until(holds: () => Promise<boolean>, otherwise: string): Promise<void> {
  const giveUpAtMs = Date.now() + HAPPENS_WITHIN_MS
  while (!(await holds())) {
    assert.ok(Date.now() < giveUpAtMs, otherwise)
    await delay(50)
  }
}
