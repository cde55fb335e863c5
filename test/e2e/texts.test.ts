import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Cli, jsonError } from '../support/cli.ts'
import { OTHER_PEER_ID, seedFile } from '../support/seeds.ts'

const MARK = Buffer.from([0xef, 0xbb, 0xbf])
/** Nobody listens there. */
const NOBODY = `/ip4/127.0.0.1/tcp/1/p2p/${OTHER_PEER_ID}`
const PROTO = 'syntax = "proto3"; message DoRequest { string text = 1; } message DoResponse {}'

const marked = (text: string): Buffer => Buffer.concat([MARK, Buffer.from(text)])

describe('texts and keys of a user', function () {
  this.timeout(120_000)
  const cli = new Cli()

  after(async () => cli.clean())

  it('a config may begin with a byte order mark, and one that is no UTF-8 is refused with the place', async () => {
    const home = await cli.home()
    await writeFile(join(home, 'config.json'), marked('{"subnetId": 7}'))
    const { settings } = await cli.json<{ settings: { subnetId: { value: number } } }>(home, ['config'])
    assert.equal(settings.subnetId.value, 7)
    await writeFile(join(home, 'config.json'), Buffer.from('{\n"kadProtocol": "/f\xfcr"}', 'latin1'))
    const refused = await cli.run(home, ['config', '--json'])
    assert.equal(refused.code, 2)
    assert.match(jsonError(refused).message, /config\.json is not UTF-8: byte 0xfc at line 2, column 19$/)
  })

  it('so are the data of a call, from stdin and from a file, and a .proto file', async () => {
    const home = await cli.home()
    const [proto, data] = [join(home, 'do.proto'), join(home, 'data.json')]
    await writeFile(proto, marked(PROTO))
    const call = ['call', NOBODY, '/do/1.0.0', '--proto', proto, '--json']
    const bad = Buffer.from('{"text": "\xe4"}', 'latin1')
    await writeFile(data, bad)
    const [stdin, file, good] = await Promise.all([
      cli.run(home, [...call, '--data', '-'], { stdin: bad }),
      cli.run(home, [...call, '--data', `@${data}`]),
      cli.run(home, [...call, '--data', '-'], { stdin: marked('{"text": "ä"}') }),
    ])
    assert.deepEqual([stdin.code, file.code], [2, 2])
    assert.equal(jsonError(stdin).message, 'the data is not UTF-8: byte 0xe4 at line 1, column 11')
    assert.equal(jsonError(file).message, `the data ${data} is not UTF-8: byte 0xe4 at line 1, column 11`)
    assert.equal(good.code, 4, good.stdout)
    await writeFile(proto, Buffer.from(`// f\xfcr\n${PROTO}`, 'latin1'))
    const described = await cli.run(home, call)
    assert.equal(described.code, 2)
    assert.match(jsonError(described).message, /do\.proto is not UTF-8: byte 0xfc at line 1, column 5$/)
  })

  it('and the lines of a script', async () => {
    const home = await cli.home()
    const script = Buffer.concat([marked(`alias set bob ${OTHER_PEER_ID}\n# `), Buffer.from([0xff]), Buffer.from('\nalias list\n')])
    const outcome = await cli.run(home, ['start', '--listen', '/ip4/127.0.0.1/tcp/0', '--script', '-', '--keep-going'], { stdin: script })
    assert.equal(outcome.code, 2)
    assert.match(outcome.stderr, /error: the script is not UTF-8: byte 0xff at line 2, column 3\n/)
    assert.equal(outcome.stdout, `bob  ${OTHER_PEER_ID}\nbob  ${OTHER_PEER_ID}\n`)
  })

  it('an address on which one cannot listen is named, and not the others', async () => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = taken.address() as { port: number }
      const bad = `/ip4/127.0.0.1/tcp/${port}`
      const listen = ['/ip4/127.0.0.1/tcp/0', bad].flatMap((address) => ['--listen', address])
      const refused = await cli.run(await cli.home(), ['start', ...listen, '--json'])
      assert.equal(refused.code, 2)
      assert.equal(jsonError(refused).message, `cannot listen on ${bad}: the port is taken (EADDRINUSE)`)
    } finally {
      taken.close()
    }
  })

  it('a key without a public half that changed is refused, until its home is told so', async () => {
    const home = await cli.home()
    const file = join(home, 'identity.key')
    await seedFile(file, OTHER_PEER_ID)
    assert.equal((await cli.json(home, ['id']))['peerId'], OTHER_PEER_ID)
    const damaged = await readFile(file)
    damaged[20] = (damaged[20] as number) ^ 1
    await writeFile(file, damaged)
    const refused = await cli.run(home, ['id', '--json'])
    assert.equal(refused.code, 2)
    assert.match(jsonError(refused).message, new RegExp(`is damaged or was replaced: .*, not of ${OTHER_PEER_ID}$`))
    const chosen = join(home, 'chosen.key')
    await writeFile(chosen, damaged)
    const { peerId } = await cli.json(home, ['key', 'import', chosen, '--force'])
    assert.equal((await cli.json(home, ['id']))['peerId'], peerId)
  })
})
