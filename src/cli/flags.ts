import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'

// Texts only: what they mean, where else they may come from and their defaults is in node/home/config.ts, in one place.

/** Where a command takes a `<peer>`: without one it asks. */
export const peerArg = Args.string({
  ignoreStdin: true,
  description: 'a peer ID, an alias, or a multiaddr that ends in /p2p/<peer ID>',
})

/** Where a command takes a protocol of a peer. */
export const protocolArg = Args.string({ ignoreStdin: true, description: 'a protocol id, as /example/greet/1.0.0' })

/** On every command. */
export const commonFlags = {
  home: Flags.string({ helpValue: 'DIR', helpGroup: 'GLOBAL', description: 'the directory of this node [env: SUBNET_HOME]' }),
  timeout: Flags.string({ helpValue: 'DUR', helpGroup: 'GLOBAL', description: 'for the whole command, as 500ms, 20s, 5m [default: 60s]' }),
  'log-level': Flags.string({ helpValue: 'LEVEL', helpGroup: 'GLOBAL', description: 'silent, error, warn, info, debug or trace' }),
  color: Flags.boolean({ allowNo: true, default: true, hidden: true }),
  'no-color': Flags.boolean({ helpGroup: 'GLOBAL', description: 'no colours' }),
}

/** On commands that need the chain or the identity of a node. */
export const chainFlags = {
  'subnet-id': Flags.string({ helpValue: 'N', helpGroup: 'NODE', description: 'the subnet [default: 1]' }),
  chain: Flags.string({ helpValue: 'URL', helpGroup: 'NODE', description: 'ledger:, ledger:/path/file.db or hypertensor:ws://host:port' }),
  key: Flags.string({ helpValue: 'FILE', helpGroup: 'NODE', description: 'the identity key [default: identity.key in the home]' }),
}

const OWNER_KEY = { helpValue: 'FILE', description: 'key of the coldkey that owns the node on the chain, in hex' }
const YES = { char: 'y', description: "pay the chain's fee without being asked" } as const

/** On commands that change a chain where that costs a fee. */
export const payingFlags = { 'owner-key': Flags.string(OWNER_KEY), yes: Flags.boolean(YES) }

/** On every command that may run a node. */
export const nodeFlags = {
  bootstrap: Flags.string({
    helpValue: 'MULTIADDR',
    helpGroup: 'NODE',
    multiple: true,
    multipleNonGreedy: true,
    description: 'a peer to connect to first; may be repeated',
  }),
  ...chainFlags,
  network: Flags.string({
    helpValue: 'KIND',
    helpGroup: 'NODE',
    description: "native, or template: a network of Hypertensor's Python template [default: native]",
  }),
  'max-frame-bytes': Flags.string({
    helpValue: 'N',
    helpGroup: 'NODE',
    description: 'the largest message sent or accepted [default: 64 MiB]',
  }),
}

/** What a node that runs is seldom told. */
export const servingFlags = {
  admission: Flags.string({
    helpValue: 'WHO',
    helpGroup: 'SERVING',
    description: 'open, or registered: let in only whom the chain knows [default: open]',
  }),
  'min-class': Flags.string({
    helpValue: 'CLASS',
    helpGroup: 'SERVING',
    description: 'to be let in: registered, idle, included or validator [default: registered]',
  }),
  'admission-on-error': Flags.string({
    helpValue: 'WHAT',
    helpGroup: 'SERVING',
    description: 'deny or allow strangers while the chain is away [default: deny]',
  }),
  'admission-exempt': Flags.string({
    helpValue: 'PEER',
    helpGroup: 'SERVING',
    multiple: true,
    multipleNonGreedy: true,
    description: 'a peer ID, or "bootstraps", let in unasked; may be repeated',
  }),
  'allow-private': Flags.boolean({
    helpGroup: 'SERVING',
    description: 'dial private and loopback addresses whoever names them',
  }),
  reflection: Flags.boolean({ allowNo: true, helpGroup: 'SERVING', description: 'tell others of the protocols here [default: true]' }),
  'owner-key': Flags.string({ ...OWNER_KEY, helpGroup: 'SERVING' }),
  'heartbeat-interval': Flags.string({ helpValue: 'DUR', helpGroup: 'SERVING', description: '500ms to 10m [default: 20s]' }),
  'heartbeat-budget': Flags.string({
    helpValue: 'N',
    helpGroup: 'SERVING',
    description: 'bytes/s that beats may cost; with many peers they come less often [default: 4096]',
  }),
  'task-timeout': Flags.string({ helpValue: 'DUR', helpGroup: 'SERVING', description: 'of one exec: or sh: handler run [default: 60s]' }),
  'no-repl': Flags.boolean({ helpGroup: 'SERVING', description: 'only run the node, on a terminal too' }),
  yes: Flags.boolean({ ...YES, helpGroup: 'SERVING' }),
}

/** On commands that write a key. */
export const forceFlag = Flags.boolean({ description: 'replace a file that is there: the peer ID of its key is lost' })

/** What a node is told before it runs. */
export const startFlags = {
  listen: Flags.string({
    helpValue: 'MULTIADDR',
    multiple: true,
    multipleNonGreedy: true,
    description: 'where to listen [default: /ip4/0.0.0.0/tcp/38960]',
  }),
  handler: Flags.string({ helpValue: 'SPEC', description: 'answers tasks: echo, upper, exec:, sh: or a module' }),
}
