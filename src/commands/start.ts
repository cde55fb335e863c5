import { Flags } from '@oclif/core'
import { BaseCommand } from '../cli/base-command.ts'
import { nodeFlags } from '../cli/flags.ts'
import { NodeError } from '../node/errors.ts'

export default class Start extends BaseCommand {
  static override summary = 'Run the node of this home until it is stopped.'
  static override description =
    'On a terminal it opens a shell in which every command works without the word "subnet". Ends by Ctrl-C or SIGTERM, with exit code 0.'
  static override examples = [
    '<%= config.bin %> start --handler echo',
    "<%= config.bin %> start --listen /ip4/127.0.0.1/tcp/4001 --handler 'exec:wc -c' --chain ledger:/tmp/subnet.db --publish",
  ]
  static override flags = {
    ...nodeFlags,
    listen: Flags.string({
      helpValue: 'MULTIADDR',
      multiple: true,
      multipleNonGreedy: true,
      description: 'where to listen [default: /ip4/0.0.0.0/tcp/38960, or a free port where that is taken]',
    }),
    announce: Flags.string({
      helpValue: 'MULTIADDR',
      multiple: true,
      multipleNonGreedy: true,
      description: 'tell others these addresses instead of those listened on',
    }),
    handler: Flags.string({ helpValue: 'SPEC', description: 'what answers tasks: echo, upper, exec:COMMAND, sh:COMMAND or a module file' }),
    'task-timeout': Flags.string({ helpValue: 'DUR', description: 'how long an exec: or sh: handler may run [default: 60s]' }),
    'heartbeat-interval': Flags.string({ helpValue: 'DUR', description: 'between two heartbeats, 500ms to 10m [default: 20s]' }),
    publish: Flags.boolean({ description: 'put the multiaddrs on the chain, now and when they change' }),
    'no-repl': Flags.boolean({ description: 'only run the node, on a terminal too' }),
    script: Flags.string({ helpValue: 'FILE|-', description: 'run these lines instead, then stop' }),
    'keep-going': Flags.boolean({ description: 'do not stop the script at the first line that fails', dependsOn: ['script'] }),
  }

  #script = false

  async run(): Promise<void> {
    const { flags } = await this.parse(Start)
    if (this.shell != null) {
      throw new NodeError('ALREADY_RUNNING', `a node runs in ${this.home.path} already (pid ${process.pid}): the one of this shell`)
    }
    this.#script = flags.script != null
    const { runNode } = await import('../cli/run-node.ts')
    const { home, settings, sources, logger: log, agent, config } = this
    const code = await runNode({
      init: { home, settings, agent, log },
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

  /** A script that was cut short has not done what it says. */
  protected override get endsCleanlyBySignal(): boolean {
    return !this.#script
  }
}
