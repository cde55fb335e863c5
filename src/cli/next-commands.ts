import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Settings } from '../node/home/config.ts'
import { shellQuoted } from '../primitives/shell-words.ts'

interface NextInit {
  /** The name of the command. */
  bin: string
  /** Undefined if commands find the home without a flag. */
  home: string | undefined
  settings: Pick<Settings, 'listen' | 'handler' | 'network'>
  peerId: string
}

interface NextCommand {
  command: string
  what: string
}

/** The home of the caller, which needs a separate identity to send a task. */
const CALLERS_HOME = 'subnet-try'
/** The addresses to dial on this machine for listen addresses on all interfaces. */
const LOOPBACK = { '/ip4/0.0.0.0/': '/ip4/127.0.0.1/', '/ip6/::/': '/ip6/::1/' }

/** The three commands to type after `init`: start a node, look at it, and send a first task. */
export function nextCommands({ bin, home, settings, peerId }: NextInit): NextCommand[] {
  const own = home == null ? [] : ['--home', home]
  const handler = settings.handler == null ? ['--handler', 'echo'] : []
  const line = (...words: string[]): string => [bin, ...words].map(shellQuoted).join(' ')
  const address = settings.listen.map(dialledHere).find((each) => each != null)
  const network = settings.network === 'native' ? [] : ['--network', settings.network]
  const caller = ['--home', join(tmpdir(), CALLERS_HOME), ...network]
  return [
    { command: line('start', ...own, ...handler), what: 'runs the node, with a shell: "help" lists the commands' },
    { command: line('status', ...own), what: 'in another terminal: whether the node is healthy' },
    address == null
      ? { command: line('id', ...own), what: 'in another terminal: the addresses that others send tasks to' }
      : {
          command: line('send-task', `${address}/p2p/${peerId}`, '--text', 'hello', ...caller),
          what: 'in another terminal: a first task, from a home of its own',
        },
  ]
}

/** Formats each command on a separate line, so that it can be copied. */
export function describeNext(commands: NextCommand[]): string {
  return ['', 'Next:', ...commands.flatMap(({ command, what }) => [`  ${command}`, `      ${what}`])].join('\n')
}

/** Undefined for a port that is chosen only at the start of the node, and for an address that cannot be dialled as written. */
function dialledHere(listen: string): string | undefined {
  const address = Object.entries(LOOPBACK).reduce((all, [any, one]) => all.replace(any, one), listen)
  return /^\/ip[46]\/[^/]+\/(tcp\/[1-9]\d*|udp\/[1-9]\d*\/quic-v1)$/.test(address) ? address : undefined
}
