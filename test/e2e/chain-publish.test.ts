import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { multiaddr } from '@multiformats/multiaddr'
import { Cli, jsonError, type Outcome } from '../support/cli.ts'
import { SUBNET } from '../support/hypertensor-state.ts'
import { OWNER, OWNER_KEY, own, setHotkey } from '../support/owner.ts'
import { Terminal } from '../support/pty.ts'
import { StandInChain } from '../support/stand-in-chain.ts'

const ADDRESS = '/ip4/203.0.113.7/tcp/38960'

describe('publishing to a Hypertensor chain, from the command line', function () {
  this.timeout(120_000)
  const cli = new Cli()
  const terminals: Terminal[] = []
  let chain: StandInChain
  let home: string
  let keyFile: string
  let peerId: string
  let nodeId: number

  beforeEach(async () => {
    chain = await StandInChain.start()
    home = await cli.home({ chain: `hypertensor:${chain.url}`, subnetId: SUBNET })
    keyFile = join(await cli.folder(), 'owner.key')
    await writeFile(keyFile, `0x${OWNER_KEY}\n`, { mode: 0o600 })
    peerId = String((await cli.json(home, ['id']))['peerId'])
    nodeId = chain.state.setNode(peerId, multiaddr(`/ip4/127.0.0.1/tcp/1/p2p/${peerId}`))
    own(chain.state, nodeId)
  })

  afterEach(async () => {
    await Promise.all(terminals.splice(0).map(async (terminal) => terminal.end()))
    await cli.clean()
    await chain.stop()
  })

  function open(args: string[], inHome = home): Terminal {
    const terminal = new Terminal(inHome, args, { columns: 200 })
    terminals.push(terminal)
    return terminal
  }

  function knowsNothing(what: string, text: string | Buffer): void {
    const bytes = Buffer.isBuffer(text) ? text : Buffer.from(text)
    for (const form of [Buffer.from(OWNER_KEY), Buffer.from(OWNER_KEY.toUpperCase()), Buffer.from(OWNER_KEY, 'hex')]) {
      assert.equal(bytes.indexOf(form), -1, `the key is in ${what}`)
    }
    assert.equal(bytes.indexOf(Buffer.from(OWNER_KEY, 'hex').toString('base64').slice(0, 40)), -1, `the key is in ${what}`)
  }

  async function filesKnowNothing(folder: string): Promise<void> {
    for (const name of await readdir(folder, { recursive: true })) {
      const file = join(folder, name)
      if ((await stat(file)).isFile()) {
        knowsNothing(file, await readFile(file))
      }
    }
  }

  it('shows the change and its fee, publishes, and gives a receipt', async () => {
    const args = ['chain', 'publish', `${ADDRESS}/ws`, '/ip4/203.0.113.7/udp/1/quic-v1', '--owner-key', keyFile, '--yes']
    const outcome = await cli.run(home, [...args, '--json'])
    assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr)
    const block = chain.pool.blocks[0]
    const published = `${ADDRESS}/ws/p2p/${peerId}`
    const { extrinsicHash, readAtMs, ...receipt } = JSON.parse(outcome.stdout)
    assert.equal(typeof readAtMs, 'number')
    assert.match(extrinsicHash, /^0x[0-9a-f]{64}$/)
    assert.deepEqual(
      { ...receipt, stale: false },
      {
        peerId,
        multiaddrs: [published],
        verified: false,
        stale: false,
        block: block?.number,
        blockHash: block?.hash,
        event: 'Network.SubnetNodeUpdatePeerInfo',
        feePlanck: String(chain.pool.fee),
        waiting: null,
      },
    )
    for (const row of [
      `chain    ${chain.url}, subnet ${SUBNET}, node ${nodeId}`,
      `peer     ${peerId}`,
      `from     /ip4/127.0.0.1/tcp/1/p2p/${peerId}`,
      `to       ${published}`,
      `account  ${OWNER.account}, nonce 0`,
      'fee      about 0.00125 TENSOR (1250000000000000 planck)',
      'left out: /ip4/203.0.113.7/udp/1/quic-v1: a node has one address on this chain, the first that the chain accepts',
      `submitted transaction ${extrinsicHash}, nonce 0; waiting for its block`,
    ]) {
      assert.ok(outcome.stderr.split('\n').includes(row), `${row}\nis not in\n${outcome.stderr}`)
    }
    const looked = await cli.run(home, ['chain', 'lookup', peerId])
    assert.equal(looked.stdout, `${published}\n`)
    const again = await cli.run(home, args)
    assert.deepEqual([again.code, again.stdout], [0, `${published}\n`])
    assert.match(again.stderr, /already has this address: nothing was sent/)
    assert.equal(chain.pool.blocks.length, 1)
  })

  it('asks nobody where nobody is: without --yes or a key it is a usage error, before anything is asked of the chain', async () => {
    const refused = async (...args: string[]): Promise<ReturnType<typeof jsonError>> => {
      const outcome = await cli.run(home, ['chain', 'publish', ADDRESS, ...args, '--json'])
      assert.equal(outcome.code, 2)
      return jsonError(outcome)
    }
    const connections = chain.connections
    const unasked = await refused('--owner-key', keyFile)
    assert.match(unasked.message, /costs a fee, and there is no terminal on which to confirm it/)
    assert.match(unasked.hint ?? '', /--yes/)
    const keyless = await refused('--yes')
    assert.match(keyless.message, /needs the key of the account/)
    assert.match(keyless.hint ?? '', /^on a machine that has the key, run: subnet chain publish \/ip4.*--owner-key FILE/)
    assert.equal(chain.connections, connections)
    for (const given of [OWNER_KEY, `0x${OWNER_KEY}`]) {
      const outcome = await cli.run(home, ['chain', 'publish', ADDRESS, '--owner-key', given, '--yes', '--log-level', 'trace'])
      assert.deepEqual([outcome.code, outcome.stdout], [2, ''])
      assert.match(outcome.stderr, /^error: --owner-key: this is a key itself/m)
      knowsNothing('the refusal', outcome.stderr)
      const env = await cli.run(home, ['chain', 'publish', ADDRESS, '--yes', '--json'], { env: { SUBNET_OWNER_KEY: given } })
      assert.match(jsonError(env).message, /^SUBNET_OWNER_KEY: this is a key itself/)
      knowsNothing('the refusal', env.stdout + env.stderr)
    }
  })

  it('takes the file of the key from a setting, and refuses one that others can read', async () => {
    const config = { chain: `hypertensor:${chain.url}`, subnetId: SUBNET, ownerKey: keyFile }
    await writeFile(join(home, 'config.json'), JSON.stringify(config))
    await cli.json(home, ['chain', 'publish', ADDRESS, '--yes'])
    const shared = join(await cli.folder(), 'shared.key')
    await writeFile(shared, OWNER_KEY, { mode: 0o644 })
    const refused = await cli.run(home, ['chain', 'publish', ADDRESS, '--owner-key', shared, '--yes', '--json'])
    assert.deepEqual(
      [refused.code, jsonError(refused).message],
      [2, `owner key ${shared} can be read by others (mode 0644): it is not used`],
    )
  })

  it('refuses free of charge what the chain would refuse for a fee: each with its own words, and nothing handed in', async () => {
    const publish = async (): Promise<ReturnType<typeof jsonError>> => {
      const outcome = await cli.run(home, ['chain', 'publish', ADDRESS, '--owner-key', keyFile, '--yes', '--json'])
      assert.equal(outcome.code, 2, outcome.stdout + outcome.stderr)
      assert.ok(!outcome.stderr.includes('fee '), 'nobody is shown a plan')
      return jsonError(outcome)
    }
    const stranger = '0x25451A4de12dcCc2D166922fA938E900fCc4ED24'
    own(chain.state, nodeId, stranger)
    const strange = await publish()
    assert.match(strange.message, new RegExp(`^${OWNER.account} is not the owner of node ${nodeId} .*: its coldkey is ${stranger}`))
    setHotkey(chain.state, nodeId, OWNER.account)
    own(chain.state, nodeId, stranger)
    const hotkey = await publish()
    assert.match(hotkey.message, new RegExp(`^${OWNER.account} is the hotkey of node ${nodeId} .*: only its coldkey, ${stranger}, may`))
    own(chain.state, nodeId)
    chain.pool.setBalance(OWNER.account, { free: 1_000n })
    assert.match(
      (await publish()).message,
      /^the balance of .* does not cover the fee: it can spend 500 planck, and the fee is about \d+ planck/,
    )
    chain.pool.setBalance(OWNER.account, { free: 10n ** 18n })
    const text = Buffer.from(peerId)
    chain.state.set('PeerIdOverwatchNodeId', [SUBNET, text], 7)
    assert.match((await publish()).message, /is also the peer of overwatch node 7 .*PeerIdExist/)
    chain.state.storage.delete(chain.state.key('PeerIdOverwatchNodeId', SUBNET, text))
    const address = multiaddr(`${ADDRESS}/p2p/${peerId}`).bytes
    chain.state.set('MultiaddrSubnetNodeId', [SUBNET, address], 2)
    assert.match((await publish()).message, /is already the address of node 2: .*MultiaddrExist/)
    assert.deepEqual(
      [chain.count('author_submitAndWatchExtrinsic'), chain.count('author_submitExtrinsic'), chain.pool.calls.length],
      [0, 0, 0],
    )
  })

  it('of two at once lets one through; the other ends while that one waits, and one that does the same sends nothing', async () => {
    chain.makesBlocks = false
    const launch = (address: string) => cli.launch(home, ['chain', 'publish', address, '--owner-key', keyFile, '--yes', '--json'])
    const running = [ADDRESS, '/ip4/203.0.113.8/tcp/38960'].map(launch)
    const loser = await Promise.race(running.map(async ({ ended }) => ended))
    assert.equal(loser.code, 2, loser.stdout)
    assert.match(jsonError(loser).message, /another transaction of 0x\w+|did not accept the transaction/)
    const [{ call } = { call: undefined }] = chain.pool.waiting
    assert.equal(chain.pool.waiting.length, 1)
    const handedIn = JSON.stringify(call?.value.value['calls'], (_, value: unknown) => (value instanceof Uint8Array ? [...value] : value))
    const same = [ADDRESS, '/ip4/203.0.113.8/tcp/38960'].find((each) =>
      handedIn.includes([...multiaddr(`${each}/p2p/${peerId}`).bytes].join(',')),
    ) as string
    const again = await cli.run(home, ['chain', 'publish', same, '--owner-key', keyFile, '--yes', '--json'])
    const { waiting, receipt } = JSON.parse(again.stdout)
    assert.deepEqual([again.code, waiting.nonce, receipt], [0, 0, undefined], again.stdout)
    assert.match(
      again.stderr,
      new RegExp(
        `^transaction ${waiting.extrinsicHash} \\(nonce 0\\) already makes this change and waits for its block: nothing was sent$`,
        'm',
      ),
    )
    chain.nextBlock()
    const codes = await Promise.all(running.map(async ({ ended }) => (await ended).code))
    assert.deepEqual(codes.sort(), [0, 2])
    assert.equal(chain.pool.calls.length, 1)
  })

  it('ends with 2 within a block of being overtaken, and not when nobody waits for it any more', async () => {
    chain.makesBlocks = false
    const handedIn = chain.handedIn()
    const running = cli.launch(home, ['chain', 'publish', ADDRESS, '--owner-key', keyFile, '--yes', '--json'])
    await handedIn
    chain.pool.overtake(OWNER.account)
    chain.nextBlock()
    const outcome = await running.ended
    assert.equal(outcome.code, 2, outcome.stdout)
    assert.match(jsonError(outcome).message, /^another transaction of 0x\w+ used nonce 0, .* is in no block, and costs nothing$/)
  })

  it('publishes for a peer of another home, from where the owner’s key is: the command is printed where it is not', async () => {
    const node = await cli.start(home)
    const keyless = await cli.run(home, ['chain', 'publish', '--json'])
    assert.equal(keyless.code, 2)
    const command = /: (subnet chain publish .*?) --owner-key FILE;/.exec(jsonError(keyless).hint ?? '')?.[1] ?? ''
    assert.equal(command, `subnet chain publish ${node.address} --chain hypertensor:${chain.url} --subnet-id ${SUBNET}`)
    await node.stop()
    const elsewhere = await cli.home()
    const args = [...command.split(' ').slice(1), '--owner-key', keyFile]
    const terminal = open(args, elsewhere)
    await terminal.shows(new RegExp(`peer +${peerId}`))
    await terminal.shows(new RegExp(`Sign and send this for ${peerId}\\?`))
    terminal.type('y\r')
    assert.equal(await terminal.ended, 0)
    const { multiaddrs } = await cli.json(home, ['chain', 'lookup', peerId])
    assert.deepEqual(multiaddrs, [node.address])
    assert.deepEqual(await readdir(elsewhere).then((names) => names.includes('identity.key')), false)
    const others = await cli.run(elsewhere, [...args, '/ip4/203.0.113.8/tcp/1', '--yes', '--json'])
    assert.deepEqual([others.code, /^these are addresses of 2 peers: /.test(jsonError(others).message)], [2, true])
  })

  it('says that it may have been included where the endpoint is gone before its block: exit 10', async () => {
    chain.makesBlocks = false
    const handedIn = chain.handedIn()
    const running = cli.launch(home, ['chain', 'publish', ADDRESS, '--owner-key', keyFile, '--yes', '--json', '--timeout', '5s'])
    await handedIn
    await chain.stop()
    const outcome = await running.ended
    assert.equal(outcome.code, 10, outcome.stdout)
    const { message, hint } = jsonError(outcome)
    assert.match(message, /transaction 0x[0-9a-f]{64} may have been included$/)
    assert.match(hint ?? '', /before you send again/)
    assert.match(outcome.stderr, /submitted transaction 0x/)
  })

  it('asks a person for the key, which is not shown, and whether the fee is to be paid: no, unless they say so', async () => {
    for (const [answer, code, blocks] of [
      ['\r', 2, 0],
      ['y\r', 0, 1],
    ] as const) {
      const terminal = open(['chain', 'publish', ADDRESS])
      await terminal.shows(/Key of the account that owns the node/)
      terminal.type('nonsense\r')
      await terminal.shows(/cannot be used: expected 32 bytes in hex/)
      terminal.type('\b'.repeat(8))
      terminal.type(`${OWNER_KEY}\r`)
      await terminal.shows(/fee +about 0\.00125 TENSOR/)
      await terminal.shows(/Sign and send this for 12D3\w+\?/)
      terminal.type(answer)
      assert.equal(await terminal.ended, code)
      knowsNothing('the terminal', terminal.screen.text)
      assert.equal(chain.pool.blocks.length, blocks)
    }
    await filesKnowNothing(home)
  })

  it('in a shell keeps the key out of its history', async () => {
    const terminal = open(['start', '--listen', '/ip4/127.0.0.1/tcp/0'])
    await terminal.prompt()
    terminal.type(`chain publish ${ADDRESS}\r`)
    await terminal.shows(/Key of the account that owns the node/)
    terminal.type(`${OWNER_KEY}\r`)
    await terminal.shows(/Sign and send this for 12D3\w+\?/)
    terminal.type('y\r')
    await terminal.shows(/published at block/)
    await terminal.prompt()
    knowsNothing('the terminal', terminal.screen.text)
    terminal.type('exit\r')
    assert.equal(await terminal.ended, 0)
    assert.match(await readFile(join(home, 'repl_history'), 'utf8'), /^chain publish \/ip4/m)
    await filesKnowNothing(home)
  })

  it('signs in its own process: a node that runs is asked for its addresses only, and the key is seen nowhere', async () => {
    const node = await cli.start(home, ['--log-level', 'trace'])
    const spy = await spyOn(join(home, 'node.sock'))
    try {
      chain.makesBlocks = false
      const handedIn = chain.handedIn()
      const running = cli.launch(home, ['chain', 'publish', '--owner-key', keyFile, '--yes', '--json', '--log-level', 'trace'])
      await handedIn
      const { stdout: processes } = await promisify(execFile)('ps', ['-A', '-w', '-w', '-e', '-o', 'args'], { maxBuffer: 1 << 26 })
      assert.match(processes, /chain publish/)
      knowsNothing('ps', processes)
      chain.nextBlock()
      const outcome: Outcome = await running.ended
      assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr)
      assert.deepEqual(JSON.parse(outcome.stdout).multiaddrs, [node.address])
      knowsNothing('stdout', outcome.bytes)
      knowsNothing('the log', outcome.stderr)
      const said = Buffer.concat(spy.said)
      assert.ok(said.byteLength > 0, 'the node was asked')
      knowsNothing('the control socket', said)
    } finally {
      spy.server.close()
    }
    const { stderr, stdout } = await node.stop()
    knowsNothing("the node's log", stderr + stdout)
    await filesKnowNothing(home)
  })

  it('is not done by a node on behalf of others', async () => {
    const node = await cli.start(home)
    const request = JSON.stringify({ multiaddrs: [ADDRESS] })
    const url = 'http://node/subnet.control.v1.ControlService/ChainPublish'
    const { stdout } = await cli.shell(
      home,
      `curl -s --unix-socket '${join(home, 'node.sock')}' -H 'content-type: application/json' -d '${request}' ${url}`,
    )
    assert.match(stdout, /must sign/)
    await node.stop()
    assert.equal(chain.pool.blocks.length, 0)
  })

  it('is done by a node that was told to pay, once for an address; else it does not start', async () => {
    for (const args of [['--publish'], ['--publish', '--yes'], ['--publish', '--owner-key', keyFile]]) {
      const outcome = await cli.run(home, ['start', '--json', ...args])
      assert.equal(outcome.code, 2)
      const { message, hint } = jsonError(outcome)
      assert.match(message, /^--publish: each change on this chain costs a fee/)
      assert.match(hint ?? '', /--owner-key FILE and --yes/)
      assert.match(hint ?? '', new RegExp(`on a machine that has the owner's key, run: subnet chain publish MULTIADDR/p2p/${peerId} `))
    }
    const missing = await cli.run(home, ['start', '--json', '--publish', '--yes', '--owner-key', '/nowhere'])
    assert.match(jsonError(missing).message, /^owner key \/nowhere cannot be read/)
    const handedIn = chain.handedIn()
    const node = await cli.start(home, ['--publish', '--yes', '--owner-key', keyFile, '--log-level', 'trace'])
    await handedIn
    while (!/published .* at block \d+, transaction 0x[0-9a-f]+, for a fee of \d+ planck/.test(node.running.stderr)) {
      await new Promise((resolve) => node.running.child.stderr?.once('data', resolve))
    }
    const { stdout } = await cli.run(home, ['chain', 'lookup', peerId])
    assert.equal(stdout, `${node.address}\n`)
    const { code, stderr } = await node.stop()
    assert.equal(code, 0)
    knowsNothing("the node's log", stderr)
    assert.equal(chain.pool.blocks.length, 1)
  })

  it('says what the chain offers instead of remove, register and unregister', async () => {
    for (const [command, call] of [
      ['remove', 'update_peer_info'],
      ['register', 'register_subnet_node'],
      ['unregister', 'remove_subnet_node'],
    ] as const) {
      const outcome = await cli.run(home, ['chain', command, '--json'])
      const { message, hint } = jsonError(outcome)
      assert.deepEqual([outcome.code, / from here$/.test(message)], [2, true])
      assert.match(hint ?? '', new RegExp(`Network\\.${call}`))
    }
  })
})

/** Takes the place of a socket, passes all on, and keeps what clients said. */
async function spyOn(path: string): Promise<{ server: Server; said: Buffer[] }> {
  const said: Buffer[] = []
  await rename(path, `${path}.real`)
  const server = createServer((client) => {
    const node = connect(`${path}.real`)
    client.on('data', (chunk) => said.push(chunk))
    client.pipe(node).pipe(client)
    for (const socket of [client, node]) {
      socket.on('error', () => undefined)
      socket.on('close', () => [client, node].map((each) => each.destroy()))
    }
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return { server, said }
}
