import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Holds the namespace open; ends with its stdin, and so at the latest with this process. */
type Holder = ChildProcessByStdio<Writable, Readable, Readable>

/**
 * A network that no other has a part in: a loopback that is up, and an interface `e0` without an IPv4 address. Nothing leads out of
 * it, so any address may be used. Whoever may make user namespaces can make one, root or not.
 */
export class NetworkNamespace {
  readonly #holder: Holder

  private constructor(holder: Holder) {
    this.#holder = holder
  }

  /** @throws Error that says what is missing: a right, or a program */
  static async open(): Promise<NetworkNamespace> {
    const holder = spawn('unshare', ['--user', '--map-root-user', '--net', 'sh', '-c', 'echo held; exec cat'], { stdio: 'pipe' })
    const complaints: Buffer[] = []
    holder.stderr.on('data', (chunk: Buffer) => complaints.push(chunk))
    const ended = once(holder, 'close').then(() => {
      throw new Error(Buffer.concat(complaints).toString().trim() || 'unshare ended')
    })
    await Promise.race([once(holder.stdout, 'data'), ended])
    ended.catch(() => undefined)
    const namespace = new NetworkNamespace(holder)
    try {
      await namespace.ip('link', 'set', 'lo', 'up')
      await namespace.ip('link', 'add', 'e0', 'type', 'veth', 'peer', 'name', 'e1')
      await namespace.ip('link', 'set', 'e1', 'up')
      await namespace.ip('link', 'set', 'e0', 'up')
      return namespace
    } catch (error) {
      await namespace.close()
      throw error
    }
  }

  /** A second network at the other end of the cable, with a loopback and an `e0` of its own. Ends before this one. */
  async neighbour(): Promise<NetworkNamespace> {
    const neighbour = await this.another()
    await this.give('e1', neighbour, 'e0')
    return neighbour
  }

  /** A further network with a loopback alone. Ends before this one. */
  async another(): Promise<NetworkNamespace> {
    const [program = '', ...entering] = this.within
    const holder = spawn(program, [...entering, 'unshare', '--net', 'sh', '-c', 'echo held; exec cat'], { stdio: 'pipe' })
    await once(holder.stdout, 'data')
    const another = new NetworkNamespace(holder)
    await another.ip('link', 'set', 'lo', 'up')
    return another
  }

  /** Moves an interface to another network, where it is up. */
  async give(link: string, to: NetworkNamespace, name: string): Promise<void> {
    await this.ip('link', 'set', link, 'netns', String(to.#holder.pid), 'name', name)
    await to.ip('link', 'set', name, 'up')
  }

  /** Runs a shell command in this network. */
  async shell(command: string): Promise<void> {
    const [program = '', ...entering] = this.within
    await run(program, [...entering, 'sh', '-c', command])
  }

  /** Before a command it makes the command run in this network. */
  get within(): string[] {
    return ['nsenter', `--target=${this.#holder.pid}`, '--user', '--net', '--preserve-credentials']
  }

  async ip(...args: string[]): Promise<void> {
    const [program = '', ...entering] = this.within
    await run(program, [...entering, 'ip', ...args])
  }

  /** Commands of nft, one a semicolon. */
  async nft(commands: string): Promise<void> {
    const [program = '', ...entering] = this.within
    await run(program, [...entering, 'nft', commands])
  }

  async addAddress(address: string): Promise<void> {
    await this.ip('address', 'add', address, 'dev', 'e0', ...(address.includes(':') ? ['nodad'] : []))
  }

  async removeAddress(address: string): Promise<void> {
    await this.ip('address', 'del', address, 'dev', 'e0')
  }

  async close(): Promise<void> {
    if (this.#holder.exitCode == null && this.#holder.signalCode == null) {
      this.#holder.stdin.end()
      await once(this.#holder, 'close')
    }
  }
}

/** Why packets cannot be dropped in a network namespace with these addresses here; undefined where they can. */
export async function whyNoFilter(...addresses: string[]): Promise<string | undefined> {
  return (
    (await whyNoNamespace(...addresses)) ??
    (await run('nft', ['--version']).then(
      () => undefined,
      () => 'no nft',
    ))
  )
}

/** Why there can be no network namespace with these addresses here; undefined where there can. */
export async function whyNoNamespace(...addresses: string[]): Promise<string | undefined> {
  let namespace: NetworkNamespace | undefined
  try {
    namespace = await NetworkNamespace.open()
    for (const address of addresses) {
      await namespace.addAddress(address)
    }
    return undefined
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).trim().replaceAll(/\s+/g, ' ')
  } finally {
    await namespace?.close()
  }
}
