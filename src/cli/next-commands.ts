import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Settings } from '../node/home/config.ts'
import { shellQuoted } from '../primitives/shell-words.ts'
import type { NewProtocol } from './new-protocol.ts'

interface NextInit {
  /** The name of the command. */
  bin: string
  /** Undefined if commands find the home without a flag. */
  home: string | undefined
  settings: Pick<Settings, 'listen' | 'handler' | 'network' | 'subnetId' | 'chain'>
  peerId: string
  /** True if the node publishes its addresses on a ledger that the caller can read. */
  byId: boolean
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
export function nextCommands({ bin, home, settings, peerId, byId }: NextInit): NextCommand[] {
  const own = home == null ? [] : ['--home', home]
  const handler = settings.handler == null ? ['--handler', 'echo'] : []
  const line = (...words: string[]): string => [bin, ...words].map(shellQuoted).join(' ')
  const address = settings.listen.map(dialledHere).find((each) => each != null)
  const network = settings.network === 'native' ? [] : ['--network', settings.network]
  const chain = byId ? ['--chain', settings.chain, ...(settings.subnetId === 1 ? [] : ['--subnet-id', String(settings.subnetId)])] : []
  const caller = ['--home', join(tmpdir(), CALLERS_HOME), ...network, ...chain]
  const target = byId ? peerId : address && `${address}/p2p/${peerId}`
  return [
    { command: line('start', ...own, ...handler), what: 'runs the node, with a shell: "help" lists the commands' },
    { command: line('status', ...own), what: 'in another terminal: whether the node is healthy' },
    target == null
      ? { command: line('id', ...own), what: 'in another terminal: the addresses that others send tasks to' }
      : {
          command: line('send-task', target, '--text', 'hello', ...caller),
          what: 'in another terminal: a first task, from a home of its own',
        },
  ]
}

/** The three commands to type after `protocol new`: test the project, serve its protocol, and call it from another home. */
export function protocolCommands({ name, protocolId }: Pick<NewProtocol, 'name' | 'protocolId'>): NextCommand[] {
  const chain = ['--chain', `ledger:${join(tmpdir(), `${name}.db`)}`]
  const caller = ['--home', join(tmpdir(), `${name}-caller`), ...chain]
  const line = (...words: string[]): string => ['npx', 'subnet', ...words].map(shellQuoted).join(' ')
  return [
    { command: `cd ${name} && npm install && npm test`, what: 'builds the project, and calls one node from another' },
    { command: line('start', '--protocol', './dist/index.js', ...chain, '--publish'), what: 'runs a node that serves the protocol' },
    {
      command: line('call', 'PEER_ID', protocolId, '--data', '{"name": "Ada"}', ...caller),
      what: `in another terminal, in ${name}: calls it with the peer ID that the node shows`,
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
