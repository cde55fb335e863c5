import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Queue } from '@libp2p/utils'
import { EXIT_CODES } from '../../src/primitives/errors.ts'
import { Cli, jsonError, type Outcome, type RunOptions } from '../support/cli.ts'
import { notRun } from '../support/not-run.ts'
import { OTHER_PEER_ID, PEER_ID, seedFile } from '../support/seeds.ts'

interface Row extends RunOptions {
  title: string
  args: string[]
  /** What the error says. */
  says: RegExp
  /** What the hint says; null for none. */
  hint: RegExp | null
  code?: number
  /** What config.json holds. */
  config?: unknown
  /** Looked at without --json too. */
  inWords?: true
}

const AT = `/ip4/127.0.0.1/tcp/1/p2p/${OTHER_PEER_ID}`
const SECRET = 'a secret that must never be printed, 57 letters and more'
/** Of the test vectors for peer IDs of libp2p. */
const ECDSA_KEY = Buffer.from(
  '08031279307702010104203e5b1fe9712e6c314942a750bd67485de3c1efe85b1bfb520ae8f9ae3dfa4a4ca00a06082a8648ce3d030107a14403420004de3d300f' +
    'a36ae0e8f5d530899d83abab44abf3161f162a4bc901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62',
  'hex',
)
const rows: Row[] = []

/** Files of the table: relative paths, as a user types them. */
async function prepare(folder: string): Promise<void> {
  await mkdir(join(folder, 'directory'))
  await mkdir(join(folder, 'open', 'things'), { recursive: true })
  await chmod(join(folder, 'open'), 0o777)
  await writeFile(join(folder, 'file'), 'x')
  await writeFile(join(folder, 'unreadable'), 'x', { mode: 0 })
  await writeFile(join(folder, 'big'), Buffer.alloc(2_048))
  await writeFile(join(folder, 'no.key'), SECRET)
  await writeFile(join(folder, 'ecdsa.key'), ECDSA_KEY)
  await writeFile(join(folder, 'no.db'), `no database, but ${'long enough to be one '.repeat(100)}`)
  await writeFile(join(folder, 'no-handler.mjs'), 'export const handler = () => new Uint8Array()')
  await writeFile(join(folder, 'broken-handler.mjs'), 'export default (')
}

const send = (...args: string[]): string[] => ['send-task', OTHER_PEER_ID, ...args]
const add = (title: string, args: string[], says: RegExp, hint: RegExp | null, more: Partial<Row> = {}): void => {
  rows.push({ title, args, says, hint, ...more })
}

add(
  'the address of another peer to announce',
  ['start', '--announce', AT, '--listen', '/ip4/127.0.0.1/tcp/0'],
  /is the address of another peer$/,
  /leave out \/p2p/,
)
add(
  'an address on which no transport listens',
  ['start', '--listen', '/ip4/127.0.0.1/udp/0/webrtc-direct'],
  /^--listen: cannot listen on \/ip4\/127\.0\.0\.1\/udp\/0\/webrtc-direct: over UDP, only quic-v1 is supported$/,
  /^a node listens on TCP, as on \/ip4\/0\.0\.0\.0\/tcp\/38960, and on QUIC, as on /,
)
for (const args of [['id'], ['key', 'import', 'ecdsa.key']]) {
  add(
    `an ECDSA key: ${args.join(' ')}`,
    args,
    /ecdsa\.key.* cannot be read: an ECDSA key cannot be a peer's identity: /,
    /^a key file is/,
    {
      ...(args.length === 1 ? { config: { key: 'ecdsa.key' } } : {}),
      inWords: true,
    },
  )
}
add('a key file whose name no file can have', ['id'], /^key file .* cannot be read: .*null bytes/, /key new/, {
  config: { key: 'a\u0000b' },
})
// payloads
add('a payload file that is not there', send('--payload', 'none'), /^the payload none cannot be read: no such file/, /- for stdin/, {
  inWords: true,
})
add('a directory as payload', send('--payload', 'directory'), /^the payload directory cannot be read: it is a directory$/, /- for stdin/)
add('a payload over the limit', send('--payload', 'big', '--max-frame-bytes', '1024'), /larger than 1024 bytes/, /--max-frame-bytes/, {
  code: 9,
  inWords: true,
})
add('a text over the limit', send('--text', 'x'.repeat(2_000), '--max-frame-bytes', '1024'), /1024 bytes/, /--max-frame-bytes/, { code: 9 })
add(
  '--payload and --text together',
  send('--payload', 'file', '--text', 'x'),
  /^--payload and --text do not go together$/,
  /--payload FILE/,
)
add('neither --payload nor --text', send(), /^nothing to send$/, /--payload FILE/)
add(
  'an output in a folder that is not there',
  send('--text', 'x', '--output', 'none/out'),
  /^the output none\/out cannot be .*no such file/,
  /--output/,
)
add(
  'a directory as output',
  send('--text', 'x', '--output', 'directory'),
  /^the output directory cannot be .*it is a directory$/,
  /--output/,
)
add('a task id with control characters', send('--text', 'x', '--task-id', 'a\nb'), /^a task id is at most 256 bytes/, null)

// peers
add('a malformed peer ID', ['resolve', '12D3KooW0nonsense'], /^not a peer ID: "12D3KooW0nonsense"$/, /12D3Koo, Qm or bafz/, {
  inWords: true,
})
add('a word that is no peer', ['ping', 'bob'], /^not a peer: "bob" is neither a peer ID nor a multiaddr nor an alias$/, /subnet alias set/)
add('an empty word as peer', ['resolve', ''], /^not a peer ID: ""$/, /12D3Koo/)
add(
  'a malformed multiaddr',
  ['send-task', '/ip4/1.2.3/tcp/1', '--text', 'x'],
  /^not a multiaddr: "\/ip4\/1\.2\.3\/tcp\/1" \(.+\)$/,
  /\/ip4\//,
)
add('a multiaddr without /p2p', ['resolve', '/ip4/127.0.0.1/tcp/1'], /^multiaddr without a peer ID at its end/, /append \/p2p\//)
add('a peer ID where a multiaddr is wanted', ['connect', OTHER_PEER_ID], /^not a multiaddr/, /\/ip4\//)
add("one's own peer ID", ['resolve', PEER_ID], /is this node itself$/, /subnet id/)
add("one's own peer ID, for a task", ['send-task', PEER_ID, '--text', 'x'], /is this node itself$/, /subnet id/)
add("one's own address", ['connect', `/ip4/127.0.0.1/tcp/1/p2p/${PEER_ID}`], /is this node itself$/, /subnet id/)
add("another peer's address to publish", ['chain', 'publish', AT], /is the address of another peer$/, /only for itself/)
add('nothing to publish', ['chain', 'publish'], /^no addresses to publish/, /subnet chain publish MULTIADDR/, {
  code: 13,
  stdin: 'junk',
  inWords: true,
})
add('a peer that nobody knows', ['resolve', OTHER_PEER_ID], /gossip: miss.*neighbour: miss.*chain: miss/, /--bootstrap/, {
  code: 3,
  inWords: true,
})
add(
  'a peer that is not on the chain',
  ['chain', 'lookup', OTHER_PEER_ID],
  /^the chain has no address of 12D3.*, and the peer is not registered in the subnet$/,
  /chain publish/,
  {
    code: 3,
  },
)
add(
  'an address of another transport',
  ['connect', `/ip4/127.0.0.1/udp/1/webrtc-direct/p2p/${OTHER_PEER_ID}`],
  /no transport of this node dials/,
  /^use an address like/,
  {
    code: 4,
  },
)
add(
  'an IPv4 address as an IPv6 name',
  ['ping', `/dns6/127.0.0.1/tcp/1/p2p/${OTHER_PEER_ID}`],
  /is not an IPv6 address$/,
  /\/dns6 for its IPv6/,
  {
    code: 4,
  },
)
add('an address where nobody listens', ['ping', AT], /\/tcp\/1\/p2p\/12D3.*ECONNREFUSED/, /is the peer running/, { code: 4, inWords: true })

// the command line
add(
  'no argument',
  ['send-task', '--text', 'x'],
  /^missing <peer>$/,
  /^<peer>: a peer ID or a short form of it, an alias, or a multiaddr.*"subnet send-task --help"/,
  {
    inWords: true,
  },
)
add('no argument, but something on stdin', ['resolve'], /^missing <peer>$/, /^<peer>: /, { stdin: OTHER_PEER_ID })
add('too many arguments', ['resolve', 'a', 'b', 'c'], /^unexpected arguments "b", "c"$/, /"subnet resolve --help"/)
add('an argument for a command that takes none', ['peers', 'extra'], /^unexpected argument "extra"$/, /"subnet peers --help"/)
add('an unknown flag', send('--foo=secret', '--text', 'x'), /^unknown flag --foo$/, /^"subnet send-task --help"/, { inWords: true })
add('a misspelled flag', send('--txet', 'x'), /^unknown flag --txet$/, /^did you mean --text\?/)
add('a flag without its value', send('--text'), /^--text needs a value$/, /--help/)
add('a flag given twice', send('--text', 'x', '--text', 'y'), /^--text is given more than once$/, /--help/)
add('an unknown command', ['frobnicate'], /^unknown command "frobnicate"$/, /"subnet --help" lists/, { inWords: true })
add('a misspelled command', ['satrt'], /^unknown command "satrt"$/, /^did you mean "start"\?/)
add('an unknown command of a topic', ['chain', 'frobnicate', 'x'], /^unknown command "chain frobnicate"$/, /"subnet chain --help" lists/)
add('a misspelled command of a topic', ['chain', 'lst'], /^unknown command "chain lst"$/, /^did you mean "chain list"\?/)
add(
  'a flag of one command before it',
  ['--listen', '/ip4/127.0.0.1/tcp/0', 'id'],
  /^no command before --listen$/,
  /^flags come after the command/,
  {
    inWords: true,
  },
)
add(
  'a tier that is none',
  ['resolve', OTHER_PEER_ID, '--tier', 'x'],
  /^--tier: "x" is not valid; expected one of local, gossip, neighbour, chain$/,
  /--help/,
)

add(
  'a class that is none',
  ['chain', 'register', '--class', 'boss'],
  /^--class: "boss" is not valid; expected one of registered, idle, included, validator$/,
  /--help/,
  { inWords: true },
)

// settings, and where they came from
const noDuration = /: "5" is not valid; expected a duration like 500ms, 20s or 5m/
add('a duration without unit', ['resolve', OTHER_PEER_ID, '--timeout', '5'], new RegExp(`^--timeout${noDuration.source}`), null)
add('a duration without unit in the environment', ['id'], new RegExp(`^SUBNET_TIMEOUT${noDuration.source}`), null, {
  env: { SUBNET_TIMEOUT: '5' },
  inWords: true,
})
add('an age that is none', ['resolve', OTHER_PEER_ID, '--max-age', '5'], new RegExp(`^--max-age${noDuration.source}`), null)
add('a duration out of its bounds', ['start', '--heartbeat-interval', '1ms'], /^--heartbeat-interval: "1ms".*from 500ms to 600s$/, null)
add('a number that is none', ['start', '--subnet-id', 'x'], /^--subnet-id: "x" is not valid; expected a whole number from 0 to/, null)
add('a count that is none', ['ping', AT, '--count', '0'], /^--count: "0" is not valid; expected a whole number from 1 to 10000$/, null)
add('a concurrency over the limit', ['bench', AT, '--concurrency', '129'], /^--concurrency: "129".* from 1 to 128$/, null)
add('a bench of no time', ['bench', AT, '--duration', '0s'], new RegExp(`^--duration${noDuration.source.replace('5', '0s')}`), null)
add(
  'a bench that is longer than its command',
  ['bench', AT, '--timeout', '5s'],
  /^--timeout: 5000 ms is not longer than the 10000 ms/,
  /whole/,
)
add(
  'a bootstrap without peer ID',
  ['peers', '--bootstrap', '/ip4/127.0.0.1/tcp/1'],
  /^--bootstrap: multiaddr without a peer ID/,
  /append \/p2p/,
)
add(
  'a chain that is none',
  ['chain', 'list', '--chain', 'x:y'],
  /^unknown kind of chain: its URL begins neither with ledger: nor with hypertensor:$/,
  /ledger:/,
)
add('no time at all', send('--text', 'x', '--timeout', '1ms'), /timeout of 1 ms/, /--timeout/, { code: 6, inWords: true })

// handlers
add('an unknown handler', ['start', '--handler', 'nope'], /^no such handler: "nope"$/, /echo, upper, exec:COMMAND/, { inWords: true })
add('a handler without default export', ['start', '--handler', 'no-handler.mjs'], /no function as its default export$/, /default export/)
add('a handler that cannot be loaded', ['start', '--handler', './broken-handler.mjs'], /^handler .*cannot be loaded: Unexpected/, null)

// files
add('a key file that is not there', ['key', 'show', '--key', 'none'], /^key file none cannot be read: no such file/, /key new --key/)
add('a key file that is none', ['id', '--key', 'no.key'], /^key file no.key cannot be read: not a libp2p private key$/, /protobuf/, {
  inWords: true,
})
add('a key that is there already', ['key', 'new', '--key', 'file'], /^there is a file already: file$/, /--force/)
const noLedger = { code: 10 }
const ledger = ['--chain', 'ledger:no.db']
add('a ledger that is not SQLite', ['chain', 'list', ...ledger], /^ledger no.db is not an SQLite database$/, /ledger:\/path/, {
  ...noLedger,
  inWords: true,
})
add(
  'such a ledger, to resolve',
  ['resolve', OTHER_PEER_ID, ...ledger],
  /chain: error \(ledger no.db is not an SQLite d/,
  /ledger:/,
  noLedger,
)
add(
  'such a ledger, to start',
  ['start', '--listen', '/ip4/127.0.0.1/tcp/0', ...ledger],
  /^ledger no.db is not an SQLite d/,
  /ledger:/,
  noLedger,
)
add(
  'a home below a file',
  ['id', '--home', 'file/x'],
  /^the home .* cannot be used: a part of its path is not a dir/,
  /--home or SUBNET_HOME/,
  { inWords: true },
)
add('a home with an empty name', ['id', '--home', ''], /^the path of the home is empty$/, /--home or SUBNET_HOME/)
add(
  'a folder of other things as home',
  ['id', '--home', 'open'],
  /^the home .*open cannot be used: it contains other files/,
  /--home or SUBNET_HOME/,
)

add('such a ledger, to register', ['chain', 'register', ...ledger], /^ledger no.db is not an SQLite database$/, /ledger:\/path/, noLedger)

// config.json
add('a config that is no JSON', ['id'], /^config \S+config\.json is not JSON: /, null, { config: '{"timeout": ' })
add('an unknown setting', ['id'], /config\.json has unknown settings: heartbeat, constructor$/, /^known settings are bootstrap, /, {
  config: { heartbeat: '5s', constructor: 1 },
})
add('a bad duration there', ['id'], /^"heartbeatInterval" in \S+config\.json: "5" is not valid; expected a duration/, null, {
  config: { heartbeatInterval: '5' },
})

describe('bad input', function () {
  this.timeout(120_000)
  const cli = new Cli()
  /** As many processes at a time as there are cores; more would only wait for each other. */
  const queue = new Queue<Outcome>({ concurrency: availableParallelism() })
  const outcomes = new Map<Row, { json: Promise<Outcome>; words: Promise<Outcome> | undefined }>()
  let folder: string
  let files: string[]

  before(async () => {
    folder = await cli.folder()
    await prepare(folder)
    files = await readdir(folder)
    for (const row of rows) {
      outcomes.set(row, { json: queued(row, ['--json']), words: row.inWords === true ? queued(row, []) : undefined })
    }
  })

  after(async () => {
    queue.clear()
    await cli.clean()
  })

  async function run({ args, config, ...options }: Omit<Row, 'title' | 'says' | 'hint'>, more: string[]): Promise<Outcome> {
    const home = await cli.home(config)
    await seedFile(join(home, 'identity.key'))
    return cli.run(home, [...args, ...more], { cwd: folder, ...options })
  }

  async function queued(row: Row, more: string[]): Promise<Outcome> {
    const outcome = queue.add(async () => run(row, more))
    // told of by the test that waits for it
    outcome.catch(() => undefined)
    return outcome
  }

  function check({ says, hint, code = 2 }: Pick<Row, 'says' | 'hint' | 'code'>, json: Outcome, words: Outcome | undefined): void {
    for (const outcome of [json, words ?? json]) {
      assert.deepEqual({ code: outcome.code, signal: outcome.signal }, { code, signal: null }, JSON.stringify(outcome))
      assert.ok(!`${outcome.stdout}${outcome.stderr}`.includes('secret'))
    }
    const error = jsonError(json)
    assert.equal(json.stderr, '')
    assert.equal(error.exit, code)
    assert.equal(EXIT_CODES[error.code as keyof typeof EXIT_CODES], code)
    assert.match(error.message, says)
    assert.ok(error.message.length < 1_000 && !error.message.includes('\n'))
    assert.match(error.hint ?? '', hint ?? /^$/)
    if (words != null) {
      assert.equal(words.stdout, '')
      assert.equal(words.stderr, `error: ${error.message}\n${error.hint == null ? '' : `hint: ${error.hint}\n`}`)
    }
  }

  for (const row of rows) {
    it(`${row.title} ends with ${row.code ?? 2}, saying what was wrong and what to do`, async () => {
      const { json, words } = outcomes.get(row) ?? assert.fail()
      check(row, await json, await words)
    })
  }

  it('leaves nothing behind, and folders of others as they were', async () => {
    await queue.onIdle()
    assert.deepEqual(await readdir(folder), files)
    assert.equal((await stat(join(folder, 'open'))).mode & 0o777, 0o777)
  })

  it('a payload that may not be read ends with 2', async function () {
    if (process.getuid?.() === 0) {
      notRun(this, 'root reads everything')
    }
    const row = { args: send('--payload', 'unreadable'), says: /^the payload unreadable cannot be read: permission denied$/, hint: /stdin/ }
    check(row, await run(row, ['--json']), undefined)
  })

  it('a port that is taken is not replaced when the user named it', async () => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    try {
      const listen = `/ip4/127.0.0.1/tcp/${(taken.address() as { port: number }).port}`
      const row = {
        args: ['start', '--listen', listen],
        says: /^cannot listen on \/ip4\/127\S+: the port is taken \(EADDRINUSE\)$/,
        hint: /another --listen/,
      }
      check(row, await run(row, ['--json']), undefined)
    } finally {
      taken.close()
    }
  })

  it('a topic without its command is help, but no JSON', async () => {
    const home = await cli.home()
    const [text, json] = await Promise.all([cli.run(home, ['chain']), cli.run(home, ['chain', '--json'])])
    assert.equal(text.code, 0)
    assert.match(text.stdout, /\n {2}lookup /)
    assert.equal(jsonError(json).message, '"chain" needs a subcommand')
  })

  it('in config.json is no hindrance where a flag says otherwise', async () => {
    const { code } = await cli.run(await cli.home({ timeout: '5' }), ['id', '--timeout', '5s'])
    assert.equal(code, 0)
  })
})
