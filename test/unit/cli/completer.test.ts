import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Config } from '@oclif/core'
import { completeWords } from '../../../src/cli/repl/completer.ts'
import { TempFolders } from '../../support/temp.ts'

describe('completion', () => {
  const folders = new TempFolders()
  let config: Config

  before(async () => {
    const root = fileURLToPath(new URL('../../..', import.meta.url))
    // the commands are those of the manifest: none is loaded
    const { oclif, ...pjson } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
    oclif.commands.target = './none.cjs'
    config = await Config.load({ root, pjson: { ...pjson, oclif } })
  })

  after(async () => folders.clean())

  const complete = async (...words: string[]): Promise<string[]> =>
    completeWords(words, {
      config,
      builtins: ['exit'],
      peers: async () => ['bob', '12D3KooWa', '12D3KooWb'],
      protocols: async (peer) => (peer === 'bob' ? ['/greet/1.0.0', '/key-value/1.0.0'] : []),
    })

  it('knows the commands, of one word and of two', async () => {
    assert.deepEqual(await complete('pe'), ['peers'])
    assert.deepEqual(await complete('al'), ['alias'])
    assert.deepEqual(await complete('alias', ''), ['list', 'remove', 'set'])
    assert.deepEqual(await complete('alias', 's'), ['set'])
    assert.deepEqual(await complete('ex'), ['exit'])
    assert.deepEqual(await complete('help', 'res'), ['resolve', 'restore'])
    assert.deepEqual(await complete('nonsense', ''), [])
    const all = await complete('')
    assert.ok(['exit', 'help', 'peers', 'alias', 'start'].every((word) => all.includes(word)))
    assert.equal(new Set(all).size, all.length)
  })

  it('knows the protocols of the peer that was named', async () => {
    assert.deepEqual(await complete('call', 'bob', '/g'), ['/greet/1.0.0'])
    assert.deepEqual(await complete('protocol', 'describe', 'bob', ''), ['/greet/1.0.0', '/key-value/1.0.0'])
    assert.deepEqual(await complete('call', 'nobody', ''), [])
    assert.deepEqual(await complete('call', '--emit-defaults', 'bob', '/k'), ['/key-value/1.0.0'])
  })

  it('knows the flags of a command, each once unless it may be repeated', async () => {
    assert.deepEqual(await complete('peers', '--wa'), ['--watch'])
    assert.deepEqual(await complete('peers', '--watch', '--wa'), [])
    assert.deepEqual(await complete('resolve', 'bob', '--tier', 'chain', '--tie'), ['--tier'])
    assert.ok(!(await complete('peers', '--')).includes('--color'), 'hidden')
  })

  it('knows the values of a flag', async () => {
    assert.deepEqual(await complete('resolve', 'bob', '--tier', ''), ['chain', 'gossip', 'local', 'neighbour'])
    assert.deepEqual(await complete('resolve', 'bob', '--tier=g'), ['--tier=gossip'])
    assert.deepEqual(await complete('send-task', 'bob', '--text', ''), [])
    assert.deepEqual(await complete('id', '--log-level=d'), ['--log-level=debug'])
    assert.deepEqual(await complete('start', '--log-format', ''), ['json', 'text'])
  })

  it('knows peers where a peer stands, once', async () => {
    assert.deepEqual(await complete('ping', 'b'), ['bob'])
    assert.deepEqual(await complete('ping', '--count', '3', '12D'), ['12D3KooWa', '12D3KooWb'])
    assert.deepEqual(await complete('ping', 'bob', ''), [])
    assert.deepEqual(await complete('alias', 'set', ''), [])
    assert.deepEqual(await complete('alias', 'set', 'x', 'b'), ['bob'])
    assert.deepEqual(await complete('alias', 'remove', 'b'), ['bob'])
  })

  it('knows files where a file stands', async () => {
    const folder = await folders.make()
    await mkdir(join(folder, 'data'))
    await writeFile(join(folder, 'dump'), '')
    await writeFile(join(folder, '.hidden'), '')
    assert.deepEqual(await complete('send-task', 'bob', '--payload', `${folder}/d`), [`${folder}/data/`, `${folder}/dump`])
    assert.deepEqual(await complete('send-task', 'bob', `--payload=${folder}/du`), [`--payload=${folder}/dump`])
    assert.deepEqual(await complete('send-task', 'bob', '--payload', `${folder}/.`), [`${folder}/.hidden`])
    assert.deepEqual(await complete('send-task', 'bob', '--payload', `${folder}/none/`), [])
    assert.deepEqual(await complete('call', 'bob', '/greet/1.0.0', '--data', `@${folder}/d`), [`@${folder}/data/`, `@${folder}/dump`])
    assert.deepEqual(await complete('call', 'bob', '/greet/1.0.0', `--data=@${folder}/du`), [`--data=@${folder}/dump`])
    assert.deepEqual(await complete('call', 'bob', '/greet/1.0.0', '--data', `${folder}/d`), [])
    for (const flag of ['--key', '--owner-key', '--protocol', '--home']) {
      assert.deepEqual(await complete('start', flag, `${folder}/du`), [`${folder}/dump`], flag)
    }
  })
})
