import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, lstat, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Cli, jsonError, onlyJson, type RunningNode } from '../support/cli.ts'

const KIB = 1_024
const MIB = KIB * KIB

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

describe('a task between two processes', function () {
  this.timeout(120_000)
  const cli = new Cli()
  const payloads = new Map<number, { file: string; hash: string }>()
  let node: RunningNode
  /** Of the one that asks; it knows the node as its bootstrap. */
  let home: string
  let folder: string

  before(async () => {
    folder = await cli.folder()
    node = await cli.start(await cli.home(), ['--handler', 'echo'])
    home = await cli.home({ bootstrap: [node.address] })
    for (const size of [0, 1, 60 * KIB - 1, 60 * KIB, 60 * KIB + 1, MIB, 4 * MIB, 32 * MIB]) {
      const payload = randomBytes(size)
      const file = join(folder, `${size}.bin`)
      await writeFile(file, payload)
      payloads.set(size, { file, hash: sha256(payload) })
    }
  })

  after(async () => cli.clean())

  function payload(size: number): { file: string; hash: string } {
    return payloads.get(size) ?? assert.fail()
  }

  for (const size of [0, 1, 60 * KIB - 1, 60 * KIB, 60 * KIB + 1, MIB, 32 * MIB]) {
    it(`comes back unchanged from a file to a file: ${size} bytes`, async () => {
      const { file, hash } = payload(size)
      const output = join(folder, `${size}.out`)
      const outcome = await cli.run(home, ['send-task', node.peerId, '--payload', file, '--output', output])
      assert.deepEqual({ code: outcome.code, stdout: outcome.stdout, stderr: outcome.stderr }, { code: 0, stdout: '', stderr: '' })
      assert.equal(sha256(await readFile(output)), hash)
    })
  }

  for (const size of [0, 60 * KIB + 1, 32 * MIB]) {
    it(`comes back unchanged through pipes: ${size} bytes`, async () => {
      const { file, hash } = payload(size)
      const output = join(folder, `${size}.piped`)
      const script = `cat "${file}" | subnet send-task ${node.peerId} --payload - > "${output}"`
      const outcome = await cli.shell(home, script)
      assert.deepEqual({ code: outcome.code, stderr: outcome.stderr }, { code: 0, stderr: '' })
      assert.equal(sha256(await readFile(output)), hash)
    })
  }

  for (const size of [1, MIB]) {
    it(`comes back unchanged from a file to a pipe: ${size} bytes`, async () => {
      const { file, hash } = payload(size)
      const { bytes } = await cli.run(home, ['send-task', node.address, '--payload', file, '--output', '-'])
      assert.equal(sha256(bytes), hash)
    })
  }

  it('comes back unchanged from a pipe to a file', async () => {
    const { file, hash } = payload(60 * KIB)
    const output = join(folder, 'from-a-pipe')
    const stdin = await readFile(file)
    await cli.run(home, ['send-task', node.address, '--payload', '-', '--output', output], { stdin })
    assert.equal(sha256(await readFile(output)), hash)
  })

  it('whose stdin does not end is a timeout', async () => {
    const stdin = new PassThrough()
    stdin.write('no end')
    const outcome = await cli.run(home, ['send-task', node.address, '--payload', '-', '--timeout', '2s', '--json'], { stdin })
    stdin.destroy()
    assert.equal(outcome.code, 6)
    const { message, hint } = jsonError(outcome)
    assert.match(message, /^no answer in time, while in step "receive"; the peer may have acted on the request$/)
    assert.match(hint ?? '', /--timeout/)
  })

  it('comes back unchanged inside JSON, with what happened on the way', async () => {
    const { file, hash } = payload(60 * KIB - 1)
    const outcome = await cli.run(home, ['send-task', node.peerId, '--payload', file, '--task-id', 'a task', '--json'])
    assert.equal(outcome.stderr, '')
    const { resultBase64, timings, attempts, ...answer } = onlyJson(outcome)
    assert.equal(sha256(Buffer.from(String(resultBase64), 'base64')), hash)
    assert.deepEqual(answer, {
      taskId: 'a task',
      peerId: node.peerId,
      // the only bootstrap: connected by the time it is looked for, or asked for itself
      source: answer['source'],
      multiaddr: node.address,
      accepted: true,
      error: null,
      bytesSent: 60 * KIB - 1,
      bytesReceived: 60 * KIB - 1,
    })
    assert.deepEqual(Object.keys(timings as object), ['resolveMs', 'dialMs', 'requestMs', 'totalMs'])
    assert.deepEqual(
      (attempts as Array<{ tier: string }>).map(({ tier }) => tier),
      ['gossip', 'neighbour', 'chain'],
    )
  })

  it('goes to a file, and JSON names the file', async () => {
    const output = join(folder, 'named')
    const outcome = await cli.run(home, ['send-task', node.address, '--text', 'über\n', '--output', output, '--json'])
    const { output: named, resultBase64 } = onlyJson(outcome)
    assert.deepEqual({ named, resultBase64 }, { named: output, resultBase64: undefined })
    assert.equal(await readFile(output, 'utf8'), 'über\n')
  })

  describe('whose result cannot be written', () => {
    before(function () {
      if (!existsSync('/dev/full')) {
        this.skip()
      }
    })

    it('says that the disk is full', async () => {
      const outcome = await cli.run(home, ['send-task', node.address, '--text', 'x', '--output', '/dev/full', '--json'])
      assert.equal(outcome.code, 2)
      assert.equal(jsonError(outcome).message, 'the output /dev/full cannot be written: the disk is full')
    })

    it('leaves what stood there, and nothing half-written', async () => {
      const target = await cli.folder()
      await writeFile(join(target, 'result'), 'as before')
      const script = `ulimit -f 2048; exec "$SUBNET_TEST_NODE" "$SUBNET_TEST_BIN" send-task ${node.address} --payload "${payload(4 * MIB).file}" --output "${target}/result"`
      const outcome = await cli.shell(home, script)
      assert.equal(outcome.code, 2, outcome.stderr)
      assert.match(
        outcome.stderr,
        /^error: the output \S+\/result cannot be written: the file would exceed the size limit for files here\nhint: .+\n$/,
      )
      assert.deepEqual(await readdir(target), ['result'])
      assert.equal(await readFile(join(target, 'result'), 'utf8'), 'as before')
    })

    it('does not end with 0 when stdout is a full disk', async () => {
      const scripts = [`subnet send-task ${node.address} --text x > /dev/full`, 'subnet id --json > /dev/full']
      for (const outcome of await Promise.all(scripts.map(async (script) => cli.shell(home, script)))) {
        assert.equal(outcome.code, 2)
        assert.equal(outcome.stderr, 'error: stdout cannot be written: the disk is full\n')
      }
    })
  })

  it('replaces what a link names, not the link, and keeps its mode', async () => {
    const target = await cli.folder()
    await writeFile(join(target, 'file'), 'before')
    await chmod(join(target, 'file'), 0o600)
    await symlink('file', join(target, 'link'))
    await cli.run(home, ['send-task', node.address, '--text', 'after', '--output', join(target, 'link')])
    assert.equal(await readFile(join(target, 'file'), 'utf8'), 'after')
    assert.equal((await stat(join(target, 'file'))).mode & 0o777, 0o600)
    assert.ok((await lstat(join(target, 'link'))).isSymbolicLink())
  })

  it('is quiet when its reader has enough', async () => {
    const scripts = [
      `subnet send-task ${node.address} --payload "${payload(MIB).file}" | head -c 1 | wc -c`,
      'subnet --help | head -c 1 | wc -c',
    ]
    for (const outcome of await Promise.all(scripts.map(async (script) => cli.shell(home, script)))) {
      assert.deepEqual({ stdout: outcome.stdout.trim(), stderr: outcome.stderr }, { stdout: '1', stderr: '' })
    }
  })
})
