import { BaseCommand } from '../cli/base-command.ts'
import { exitCodeOf, type Finding } from '../cli/doctor/finding.ts'
import { nodeFlags, peerArg } from '../cli/flags.ts'
import { findingLine } from '../cli/text/finding-text.ts'

export default class Doctor extends BaseCommand {
  static override summary = 'Check this machine and its node, or the way to a peer.'
  static override description =
    'Without a peer, checks the machine, the home, its running node, the bootstraps and the chain. With a peer, checks each tier, each address, a round ' +
    'trip and the protocols. Exits with 0 if there is no problem, otherwise with the code of the first one; warnings do not count.'
  static override examples = [
    '<%= config.bin %> doctor',
    '<%= config.bin %> doctor bob --json | jq \'.findings[] | select(.state != "ok")\'',
  ]
  static override args = { peer: peerArg }
  static override flags = { ...nodeFlags }

  async run(): Promise<{ ok: boolean; findings: Finding[] }> {
    const { args } = await this.parse(Doctor)
    const findings: Finding[] = []
    for await (const finding of args.peer == null ? this.#examine() : this.#examinePeer(args.peer)) {
      findings.push(finding)
      this.log(findingLine(finding, process.stdout.columns))
    }
    process.exitCode = exitCodeOf(findings)
    return { ok: process.exitCode === 0, findings }
  }

  async *#examine(): AsyncGenerator<Finding> {
    const { home, agent, settings } = this
    const { examineMachine } = await import('../cli/doctor/machine-checks.ts')
    const { examineNode } = await import('../cli/doctor/node-checks.ts')
    yield* examineMachine({ home, signal: this.interrupted.signal })
    yield* examineNode({ session: await this.session(), home, agent, settings, options: () => this.callOptions })
  }

  async *#examinePeer(peer: string): AsyncGenerator<Finding> {
    const { examinePeer } = await import('../cli/doctor/peer-checks.ts')
    yield* examinePeer({ session: await this.session(), peer: await this.peerNamed(peer), options: () => this.callOptions })
  }
}
