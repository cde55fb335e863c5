import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url))

export interface LaunchOptions {
  home: string
  args: string[]
  /** A command that runs the one behind it somewhere else. */
  within: string[]
  env?: NodeJS.ProcessEnv
  stdin?: string
}

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** A `subnet` process. Its lines of stdout are JSON. */
export class SubnetProcess {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  /** Settles with the event `ready` of a node, or with undefined where it ended before. */
  readonly ready: Promise<{ peerId: string; multiaddrs: string[] } | undefined>
  /** Set where this campaign ended it. */
  told: NodeJS.Signals | undefined

  constructor({ home, args, within, env, stdin }: LaunchOptions) {
    const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SUBNET_')))
    // it ends with this process, whatever ends that
    const line = [...within, 'setpriv', '--pdeathsig', 'KILL', process.execPath, BIN, ...args]
    this.child = spawn(line[0] as string, line.slice(1), {
      env: { ...own, SUBNET_PORT_MAPPING: 'false', ...env, SUBNET_HOME: home, NO_COLOR: '1' },
      stdio: [stdin == null ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    })
    this.child.stdin?.on('error', () => undefined)
    this.child.stdin?.end(stdin)
    const { promise, resolve } = Promise.withResolvers<{ peerId: string; multiaddrs: string[] } | undefined>()
    this.ready = promise
    const output = args[0] === 'start' ? readReady(this.child, resolve) : collected(this.child.stdout)
    const errors = collected(this.child.stderr)
    this.ended = once(this.child, 'close').then(([code, signal]) => {
      resolve(undefined)
      return { code, signal, stdout: output(), stderr: errors() }
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.told = signal
    this.child.kill(signal)
  }
}

/** Keeps the first event of a node only: there is one for each task. */
function readReady(child: ChildProcess, resolve: (event: { peerId: string; multiaddrs: string[] }) => void): () => string {
  if (child.stdout != null) {
    createInterface(child.stdout).once('line', (line) => resolve(JSON.parse(line)))
  }
  return () => ''
}

function collected(from: ChildProcess['stdout']): () => string {
  const chunks: Buffer[] = []
  from?.on('data', (chunk: Buffer) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString()
}
