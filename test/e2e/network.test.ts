import assert from 'node:assert/strict'
import { Cli, jsonError, type RunningNode } from '../support/cli.ts'

interface Status {
  network: string
  notices: string[]
}

describe('the network of a node', function () {
  this.timeout(60_000)
  const cli = new Cli()
  let home: string
  let node: RunningNode

  before(async () => {
    home = await cli.home()
    node = await cli.start(home, ['--network', 'template'])
  })

  after(async () => cli.clean())

  it('is shown by status and config, and is native unless one says otherwise', async () => {
    const { network, notices } = await cli.json<Status>(home, ['status'])
    assert.deepEqual([network, notices], ['template', []])
    assert.match((await cli.run(home, ['status'])).stdout, /, network template,/)
    const { settings } = await cli.json<{ settings: Record<string, unknown> }>(await cli.home(), ['config'])
    assert.deepEqual(settings['network'], { value: 'native', source: 'default' })
    const env = { SUBNET_NETWORK: 'template' }
    const { settings: told } = await cli.json<{ settings: Record<string, unknown> }>(await cli.home(), ['config'], { env })
    assert.deepEqual(told['network'], { value: 'template', source: 'env' })
  })

  it('cannot be another than that of the node that runs', async () => {
    const same = await cli.run(home, ['peers', '--network', 'template', '--json'])
    assert.equal(same.code, 0)
    const other = await cli.run(home, ['peers', '--network', 'native', '--json'])
    assert.equal(other.code, 2)
    assert.match(jsonError(other).message, /^--network: the node that runs in .* has template, not native$/)
  })

  it('is one of two', async () => {
    const { code, stdout, stderr } = await cli.run(await cli.home(), ['peers', '--network', 'python'])
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, /^error: --network: "python" is not valid; expected one of native, template$/m)
  })

  it('does not keep a node from peers of the other', async () => {
    const { stdout, code } = await cli.run(await cli.home(), ['send-task', node.address, '--text', 'hello', '--json'])
    assert.equal(code, 7)
    assert.equal(JSON.parse(stdout).accepted, false)
  })
})
