import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { nextCommands, protocolCommands } from '../../../src/cli/next-commands.ts'

const PEER_ID = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
const SETTINGS = { listen: ['/ip4/0.0.0.0/tcp/38960'], handler: undefined, network: 'native' as const, chain: 'ledger:', subnetId: 1 }

describe('what to type after init', () => {
  const linesOf = (settings: Partial<Parameters<typeof nextCommands>[0]['settings']>, home?: string, byId = false): string[] =>
    nextCommands({ bin: 'subnet', home, settings: { ...SETTINGS, ...settings }, peerId: PEER_ID, byId }).map(({ command }) => command)

  it('is a node, a look at it, and a task to the address on which it listens', () => {
    const [start, status, task = ''] = linesOf({})
    assert.deepEqual([start, status], ['subnet start --handler echo', 'subnet status'])
    assert.ok(task.startsWith(`subnet send-task /ip4/127.0.0.1/tcp/38960/p2p/${PEER_ID} --text hello --home /`), task)
  })

  it('names what the user chose: the home, the handler, the network, the address', () => {
    const [start, status, task = ''] = linesOf({ listen: ['/ip6/::/tcp/9'], handler: 'upper', network: 'template' }, "/my ann's home")
    assert.deepEqual([start, status], [`subnet start --home '/my ann'\\''s home'`, `subnet status --home '/my ann'\\''s home'`])
    assert.match(task, /^subnet send-task \/ip6\/::1\/tcp\/9\/p2p\/.* --network template$/)
  })

  it('needs only the peer ID where the node publishes on a ledger that others read, even of a port that is not known yet', () => {
    const [, , task = ''] = linesOf({ listen: ['/ip4/127.0.0.1/tcp/0'], chain: 'ledger:/a b.db', subnetId: 7 }, undefined, true)
    assert.match(task, new RegExp(`^subnet send-task ${PEER_ID} --text hello --home /\\S+ --chain 'ledger:/a b.db' --subnet-id 7$`))
  })

  it('after protocol new is what the README of the project has', async () => {
    const readme = (await readFile(new URL('../../../templates/protocol/README.md', import.meta.url), 'utf8'))
      .replaceAll('__kebab__', 'key-value')
      .replaceAll('/tmp/', `${tmpdir()}/`)
    const [build, ...rest] = protocolCommands({ name: 'key-value', protocolId: '/key-value/1.0.0' }).map(({ command }) => command)
    assert.equal(build, 'cd key-value && npm install && npm test')
    assert.equal(rest.length, 2)
    for (const command of rest) {
      assert.ok(readme.includes(`\n${command}\n`), command)
    }
  })

  it('asks for the addresses where the port is not known before the node starts', () => {
    assert.equal(linesOf({ listen: ['/ip4/127.0.0.1/tcp/0'] })[2], 'subnet id')
  })
})
