import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { shellWords } from '../../src/primitives/shell-words.ts'
import { Cli, jsonError } from '../support/cli.ts'
import { linkedProject, runIn } from '../support/linked-project.ts'

const FILES = [
  ...['.gitignore', 'README.md', 'buf.gen.yaml', 'buf.yaml', 'package.json', 'proto/key_value.proto'],
  ...['src/handler.ts', 'src/index.ts', 'test/key-value.test.ts', 'tsconfig.json'],
]

async function replaceIn(file: string, text: string, by: string): Promise<void> {
  await writeFile(file, (await readFile(file, 'utf8')).replace(text, by))
}

/** The words of a printed command after `npx subnet`. */
function wordsOf(line: string): string[] {
  const [npx, subnet, ...words] = shellWords(line).map(({ text }) => text)
  assert.deepEqual([npx, subnet], ['npx', 'subnet'])
  return words
}

describe('subnet protocol new', function () {
  this.timeout(90_000)
  const cli = new Cli()
  let home: string
  let cwd: string

  before(async () => {
    home = await cli.home()
    cwd = await cli.folder()
  })

  after(async () => cli.clean())

  for (const name of ['', 'Greet', '9lives', 'two words', 'a--b', '-a', 'a-', '../up', 'ümlaut', 'a_b', 'x'.repeat(51), 'protobuf']) {
    it(`takes no name ${JSON.stringify(name)}`, async () => {
      const outcome = await cli.run(home, ['protocol', 'new', '--json', '--', name], { cwd })
      assert.deepEqual(jsonError(outcome).code, 'USAGE')
      assert.equal(outcome.code, 2)
      assert.deepEqual(await readdir(cwd), [])
    })
  }

  it('does not touch what already exists, be it empty or a file', async () => {
    await mkdir(join(cwd, 'empty'))
    await writeFile(join(cwd, 'file'), 'mine')
    for (const name of ['empty', 'file']) {
      const outcome = await cli.run(home, ['protocol', 'new', name], { cwd })
      assert.equal(outcome.code, 2)
      assert.match(outcome.stderr, new RegExp(`^error: ${join(cwd, name)} already exists\nhint: nothing was changed`))
    }
    assert.deepEqual(await readdir(join(cwd, 'empty')), [])
    assert.equal(await readFile(join(cwd, 'file'), 'utf8'), 'mine')
  })

  it('makes a project that builds, passes its own test, and serves what others call with nothing but the command line', async () => {
    const made = await cli.json(home, ['protocol', 'new', 'key-value'], { cwd })
    const folder = join(cwd, 'key-value')
    assert.deepEqual(made, { name: 'key-value', protocolId: '/key-value/1.0.0', folder, files: FILES })
    for (const file of FILES) {
      assert.doesNotMatch(await readFile(join(folder, file), 'utf8'), /__/, `${file}: a placeholder is left`)
    }
    const { dependencies, devDependencies } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
    const own = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8'))
    assert.deepEqual(dependencies, {
      '@bufbuild/protobuf': own.dependencies['@bufbuild/protobuf'],
      'subnet-cli': `file:${join(import.meta.dirname, '../..')}`,
    })
    for (const [name, version] of Object.entries(devDependencies)) {
      assert.equal(version, own.devDependencies[name], name)
    }

    await linkedProject(folder)
    await replaceIn(join(folder, 'src/handler.ts'), 'Hello', 'Welcome')
    const failed = await runIn(folder, 'npm test')
    assert.match(failed.stdout, /fail 1\b/, 'the test checks the answer')
    await replaceIn(join(folder, 'test/key-value.test.ts'), 'Hello', 'Welcome')
    const tested = await runIn(folder, 'npm test')
    assert.equal(tested.code, 0, `${tested.stdout}${tested.stderr}`)
    assert.match(tested.stdout, /pass 2\b/)

    const printed = await cli.run(home, ['protocol', 'new', 'other'], { cwd, env: { TMPDIR: cwd } })
    assert.equal(printed.stdout, `${join(cwd, 'other')}\n`)
    const [build = '', start = '', call = ''] = [...printed.stderr.replaceAll('other', 'key-value').matchAll(/^ {2}(\S.*)$/gm)].map(
      ([, line]) => line,
    )
    assert.equal(build, 'cd key-value && npm install && npm test')
    const ledger = ['--chain', `ledger:${join(cwd, 'key-value.db')}`]
    const caller = join(cwd, 'key-value-caller')
    const node = await cli.start(home, wordsOf(start).slice(1), { cwd: folder })
    const answer = await cli.json(caller, wordsOf(call.replace('PEER_ID', node.peerId)), { cwd: folder })
    const { peerId } = await cli.json<{ peerId: string }>(caller, ['id'])
    assert.deepEqual(answer, { text: `Welcome Ada, you are ${peerId}` })
    const described = await cli.run(caller, ['protocol', 'describe', node.peerId, '/key-value/1.0.0', ...ledger])
    assert.ok(described.stdout.includes('message KeyValueRequest {\n  string name = 1;\n}'), described.stdout)
  })
})
