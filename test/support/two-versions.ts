import { Cli, type RunningNode } from './cli.ts'
import { OldRelease } from './old-release.ts'

export type Version = 'the release' | 'this version'

/** Each version asks the other. */
export const BOTH_WAYS: ReadonlyArray<[asking: Version, answering: Version]> = [
  ['the release', 'this version'],
  ['this version', 'the release'],
]

/** A running node, its home, and the commands of the same version. */
export interface Side {
  cli: Cli
  home: string
  node: RunningNode
}

/** The last release and this version: the commands and one node of each. `clean` ends all processes and removes all files. */
export class TwoVersions {
  readonly release: OldRelease
  /** The commands of each, by version. */
  readonly cli: { [version in Version]: Cli }
  readonly #sides = new Map<Version, Side>()

  private constructor(release: OldRelease) {
    this.release = release
    this.cli = { 'this version': new Cli(), 'the release': new Cli({ bin: release.bin, env: release.env }) }
  }

  static async unpack(): Promise<TwoVersions> {
    return new TwoVersions(await OldRelease.unpack())
  }

  /** Starts two connected nodes that echo tasks, one of each version. Resolves when each node has heard a heartbeat of the other. */
  async start(config: unknown, argsOf: (version: Version) => string[] = () => []): Promise<void> {
    const release = await this.#start('the release', config, argsOf('the release'))
    const own = await this.#start('this version', config, [...argsOf('this version'), '--bootstrap', release.address])
    await Promise.all([hears(release, own), hears(own, release)])
  }

  side(version: Version): Side {
    const side = this.#sides.get(version)
    if (side == null) {
      throw new Error(`no node of ${version} was started`)
    }
    return side
  }

  async clean(): Promise<void> {
    await Promise.all(Object.values(this.cli).map(async (cli) => cli.clean()))
    await this.release.remove()
  }

  async #start(version: Version, config: unknown, args: string[]): Promise<RunningNode> {
    const cli = this.cli[version]
    const home = await cli.home(config)
    const node = await cli.start(home, ['--handler', 'echo', ...args])
    this.#sides.set(version, { cli, home, node })
    return node
  }
}

/** Waits for a heartbeat of another node. */
export async function hears(node: RunningNode, of: RunningNode): Promise<void> {
  await node.running.event('heartbeat', ({ peerId }) => peerId === of.peerId)
}
