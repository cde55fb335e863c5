import assert from 'node:assert/strict'
import { chmod, mkdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Cli, jsonError, onlyJson } from '../support/cli.ts'
import { OTHER_PEER_ID, PEER_ID, seedFile } from '../support/seeds.ts'

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o777).toString(8)
}

describe('the identity of a home', function () {
  this.timeout(60_000)
  const cli = new Cli()

  after(async () => cli.clean())

  it('is made by the first command that needs it, for its user only', async () => {
    const home = join(await cli.home(), 'new', 'home')
    const { peerId, multiaddrs } = await cli.json(home, ['id'])
    assert.match(String(peerId), /^12D3KooW/)
    assert.deepEqual(multiaddrs, [])
    assert.deepEqual([await modeOf(home), await modeOf(join(home, 'identity.key'))], ['700', '600'])
    const { stdout } = await cli.run(home, ['id'])
    assert.equal(stdout, `${peerId}\n`)
  })

  it('is closed to others where it was open', async () => {
    const home = await cli.home()
    await seedFile(join(home, 'identity.key'))
    await chmod(join(home, 'identity.key'), 0o644)
    await chmod(home, 0o755)
    assert.equal((await cli.json(home, ['id']))['peerId'], PEER_ID)
    assert.deepEqual([await modeOf(home), await modeOf(join(home, 'identity.key'))], ['700', '600'])
  })

  it('is read in both forms of key files, and shown without the key', async () => {
    const folder = await cli.folder()
    const home = await cli.home()
    const made = await cli.json(home, ['key', 'new', '--key', join(folder, 'made.key')])
    assert.equal((await readFile(join(folder, 'made.key'))).byteLength, 68)
    await seedFile(join(folder, 'a.key'), PEER_ID)
    await seedFile(join(folder, 'b.key'), OTHER_PEER_ID)
    const shown = ['made.key', 'a.key', 'b.key'].map(async (file) => cli.json(home, ['key', 'show', '--key', file], { cwd: folder }))
    assert.deepEqual(await Promise.all(shown), [
      { peerId: made['peerId'], type: 'Ed25519', file: 'made.key' },
      { peerId: PEER_ID, type: 'Ed25519', file: 'a.key' },
      { peerId: OTHER_PEER_ID, type: 'Ed25519', file: 'b.key' },
    ])
  })

  it('is never replaced without --force', async () => {
    const home = await cli.home()
    const { peerId, file } = await cli.json(home, ['key', 'new'])
    assert.equal(file, join(home, 'identity.key'))
    const again = await cli.run(home, ['key', 'new', '--json'])
    assert.equal(again.code, 2)
    assert.match(jsonError(again).hint ?? '', /--force/)
    assert.equal((await cli.json(home, ['key', 'show']))['peerId'], peerId)
    const { stdout } = await cli.run(home, ['key', 'new', '--force'])
    const [newPeerId, type, newFile] = stdout.trim().split('  ')
    assert.notEqual(newPeerId, peerId)
    assert.deepEqual([type, newFile], ['Ed25519', file])
    assert.equal(await modeOf(String(file)), '600')
    assert.equal((await cli.json(home, ['id']))['peerId'], newPeerId)
  })

  it('moves to another home by a file that only its user can read', async () => {
    const [from, to, folder] = await Promise.all([cli.home(), cli.home(), cli.folder()])
    const file = join(folder, 'moved.key')
    const { peerId } = await cli.json(from, ['id'])
    assert.deepEqual(await cli.json(from, ['key', 'export', file]), { peerId, type: 'Ed25519', file })
    assert.equal(await modeOf(file), '600')
    assert.deepEqual(await cli.json(to, ['key', 'import', file]), { peerId, type: 'Ed25519', file: join(to, 'identity.key') })
    assert.equal((await cli.json(to, ['id']))['peerId'], peerId)
    assert.deepEqual([await modeOf(to), await modeOf(join(to, 'identity.key'))], ['700', '600'])
    for (const args of [
      ['export', file],
      ['import', file],
    ]) {
      const again = await cli.run(to, ['key', ...args, '--json'])
      assert.equal(again.code, 2)
      assert.match(jsonError(again).hint ?? '', /--force/)
      assert.equal((await cli.json(to, ['key', ...args, '--force']))['peerId'], peerId)
    }
  })

  it('is imported in every form and type that is read, from stdin too, and written in the one of libp2p', async () => {
    const home = await cli.home()
    const folder = await cli.folder()
    const { privateKeyToProtobuf, generateKeyPair } = await import('@libp2p/crypto/keys')
    await seedFile(join(folder, 'python.key'), PEER_ID)
    assert.equal((await cli.json(home, ['key', 'import', 'python.key', '--key', 'a.key'], { cwd: folder }))['peerId'], PEER_ID)
    assert.equal((await readFile(join(folder, 'a.key'))).byteLength, 68)
    for (const type of ['secp256k1', 'RSA'] as const) {
      const stdin = privateKeyToProtobuf(await generateKeyPair(type))
      const imported = await cli.json(home, ['key', 'import', '-', '--key', `${type}.key`], { cwd: folder, stdin })
      assert.equal(imported['type'], type)
      assert.deepEqual(new Uint8Array(await readFile(join(folder, `${type}.key`))), stdin)
    }
    const refused = await cli.run(home, ['key', 'import', '-', '--json'], { stdin: 'no key, but a secret' })
    assert.equal(jsonError(refused).message, 'the key cannot be read: not a libp2p private key')
    const endless = await cli.run(home, ['key', 'import', '/dev/zero', '--json'])
    assert.match(jsonError(endless).message, /it has more than 16384 bytes$/)
  })

  it('never goes to stdout', async () => {
    const outcome = await cli.run(await cli.home(), ['key', 'export', '-', '--json'])
    assert.equal(outcome.code, 2)
    assert.equal(jsonError(outcome).message, 'a key is never written to stdout')
  })

  it('may be named by the environment and by config.json, for "key new" too', async () => {
    const folder = await cli.folder()
    const key = join(folder, 'named.key')
    const home = await cli.home({ key })
    const made = await cli.json(home, ['key', 'new'])
    assert.equal(made['file'], key)
    assert.equal((await cli.json(home, ['id']))['peerId'], made['peerId'])
    await seedFile(join(folder, 'other.key'))
    assert.equal((await cli.json(home, ['id'], { env: { SUBNET_KEY: join(folder, 'other.key') } }))['peerId'], PEER_ID)
  })
})

describe('a ledger that two homes share', function () {
  this.timeout(60_000)
  const cli = new Cli()

  after(async () => cli.clean())

  it('shows to one what the other published, until it removes it', async () => {
    const folder = join(await cli.folder(), 'with spaces')
    await mkdir(folder)
    const chain = `ledger:${folder}/shared ledger.db`
    const [mine, theirs] = [await cli.home({ chain }), await cli.home()]
    await seedFile(join(mine, 'identity.key'))
    const env = { SUBNET_CHAIN: chain }

    const nobody = await cli.run(theirs, ['chain', 'list', '--json'], { env })
    assert.equal(nobody.stdout, '[]\n')
    const published = await cli.json(mine, ['chain', 'publish', '/ip4/192.0.2.1/tcp/4001', '/dns4/peer.example.org/tcp/1'])
    const multiaddrs = [`/ip4/192.0.2.1/tcp/4001/p2p/${PEER_ID}`, `/dns4/peer.example.org/tcp/1/p2p/${PEER_ID}`]
    const { readAtMs: _, ...said } = published
    assert.deepEqual(said, { peerId: PEER_ID, multiaddrs, verified: true, block: published['block'], stale: false })
    const record = { ...said, role: null, nodeId: null, class: null }

    const [list, lookup, resolved, words] = await Promise.all([
      cli.json(theirs, ['chain', 'list'], { env }),
      cli.json(theirs, ['chain', 'lookup', PEER_ID], { env }),
      cli.json(theirs, ['resolve', PEER_ID], { env }),
      cli.run(theirs, ['chain', 'lookup', PEER_ID], { env }),
    ])
    for (const { readAtMs, ...found } of [...(list as unknown as Array<Record<string, unknown>>), lookup]) {
      assert.deepEqual(found, record)
      assert.ok(Number(readAtMs) > 0)
    }
    assert.deepEqual({ multiaddrs: resolved['multiaddrs'], source: resolved['source'] }, { multiaddrs, source: 'chain' })
    assert.equal(words.stdout, `${multiaddrs.join('\n')}\n`)
    const elsewhere = await cli.run(theirs, ['chain', 'lookup', PEER_ID, '--json', '--subnet-id', '2'], { env })
    assert.equal(elsewhere.code, 3)

    assert.deepEqual(await cli.json(mine, ['chain', 'remove']), { peerId: PEER_ID, removed: true })
    const gone = await cli.run(theirs, ['chain', 'lookup', PEER_ID, '--json'], { env })
    assert.equal(gone.code, 3)
    assert.deepEqual(await cli.json(mine, ['chain', 'remove']), { peerId: PEER_ID, removed: false })
    const afterwards = await cli.run(theirs, ['chain', 'list', '--json'], { env })
    assert.deepEqual({ code: afterwards.code, stdout: afterwards.stdout }, { code: 0, stdout: '[]\n' })
    assert.ok(onlyJson(afterwards))
  })
})
