import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../cli/base-command.ts'
import { nodeFlags, servingFlags, startFlags } from '../cli/flags.ts'
import { NodeError } from '../node/home/errors.ts'

export default class Start extends BaseCommand {
  static override summary = 'Run the node of this home until it is stopped; on a terminal, with a shell.'
  static override examples = [
    '<%= config.bin %> start --handler echo',
    "<%= config.bin %> start --handler 'exec:wc -c' --chain ledger:/tmp/subnet.db --publish",
  ]
  static override flags = {
    ...nodeFlags,
    ...startFlags,
    ...servingFlags,
    script: Flags.string({ helpGroup: 'SERVING', helpValue: 'FILE|-', description: 'run the lines of this file, then stop' }),
    'keep-going': Flags.boolean({
      helpGroup: 'SERVING',
      description: 'continue the script after a line that fails',
      dependsOn: ['script'],
    }),
  }

  #script = false

  async run(): Promise<void> {
    const { flags } = await this.parse(Start)
    if (this.shell != null) {
      throw new NodeError('ALREADY_RUNNING', `a node runs in ${this.home.path} already (pid ${process.pid}): the node of this shell`)
    }
    this.#script = flags.script != null
    const { runNode } = await import('../cli/repl/run-node.ts')
    const { home, settings, sources, logger: log, agent, config } = this
    const code = await runNode({
      init: { home, settings, agent, log, paysFees: flags.yes },
      sources,
      config,
      json: this.jsonEnabled(),
      repl: !flags['no-repl'],
      script: flags.script,
      keepGoing: flags['keep-going'],
      interrupted: this.interrupted,
    })
    process.exitCode = code
  }

  protected override get endedBy(): NodeJS.Signals[] {
    return ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM']
  }

  /** False with a script, because an interrupted script is not a clean end. */
  protected override get endsCleanlyBySignal(): boolean {
    return !this.#script
  }
}
