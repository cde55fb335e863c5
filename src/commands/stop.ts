import { setImmediate as nextTurn } from 'node:timers/promises'
import { BaseCommand } from '../cli/base-command.ts'

export default class Stop extends BaseCommand {
  static override summary = 'Stop the running node.'
  static override description = 'Returns when the node has said goodbye to its peers and released its home.'
  static override examples = ['<%= config.bin %> stop', '<%= config.bin %> stop --home /var/lib/subnet --json']
  protected override readonly needsNode = true

  async run(): Promise<{ peerId: string; pid: number }> {
    await this.parse(Stop)
    const stopped = await (await this.session()).stop(this.callOptions)
    if (this.shell?.ownsNode === true) {
      // the shell first reports that the node is stopping
      await nextTurn()
    }
    this.log(`stopped ${stopped.peerId} (pid ${stopped.pid})`)
    return stopped
  }
}
