import { Flags } from '@oclif/core'
import { BaseCommand } from '../cli/base-command.ts'
import { describeEvent } from '../cli/events.ts'
import { nodeFlags } from '../cli/flags.ts'

export default class Start extends BaseCommand {
  static override summary = 'Run the node of this home until it is stopped.'
  static override description = 'Ends by Ctrl-C or SIGTERM, with exit code 0.'
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
    'no-repl': Flags.boolean({ description: 'only run the node' }),
  }

  async run(): Promise<void> {
    await this.parse(Start)
    // its reader going away ends the node; a full disk under its log does not
    process.stdout.removeAllListeners('error').on('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'EPIPE') {
        this.interrupted.abort()
      }
    })
    const { serve } = await import('../session/serve.ts')
    const node = await serve({ home: this.home, settings: this.settings, agent: this.agent, log: this.logger })
    const print = (event: Parameters<typeof describeEvent>[0]): void => {
      process.stdout.write(this.jsonEnabled() ? `${JSON.stringify(event)}\n` : `${describeEvent(event)}\n`)
    }
    print(node.ready)
    node.onEvent(print)
    const { signal } = this.interrupted
    await new Promise<void>((resolve) => (signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve())))
    await node.stop()
  }

  protected override get endsCleanlyBySignal(): boolean {
    return true
  }
}
