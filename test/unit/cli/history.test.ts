import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { History, MAX_HISTORY_LINES, withoutContent } from '../../../src/cli/repl/history.ts'
import { type Home, homeAt } from '../../../src/node/home/home.ts'
import { TempFolders } from '../../support/temp.ts'

describe('the history of a shell', () => {
  const folders = new TempFolders()
  let home: Home

  beforeEach(async () => {
    home = homeAt(await folders.make())
  })

  after(async () => folders.clean())

  const file = (): string => join(home.path, 'repl_history')

  it('is there again in the next run, for the user alone', async () => {
    const history = await History.open(home)
    for (const line of ['peers', 'peers', '', ' secret', 'id', '"open']) {
      history.add(line)
    }
    await history.written()
    assert.equal(await readFile(file(), 'utf8'), 'peers\nid\n')
    assert.equal((await stat(file())).mode & 0o777, 0o600)
    assert.deepEqual((await History.open(home)).lines, ['id', 'peers'])
  })

  it('is bounded', async () => {
    await writeFile(file(), Array.from({ length: 3 * MAX_HISTORY_LINES }, (_, index) => `line ${index}\n`).join(''))
    const history = await History.open(home)
    assert.equal(history.lines.length, MAX_HISTORY_LINES)
    for (let index = 0; index <= MAX_HISTORY_LINES; index++) {
      history.add(`new ${index}`)
    }
    await history.written()
    const kept = (await readFile(file(), 'utf8')).trimEnd().split('\n')
    assert.equal(kept.length, MAX_HISTORY_LINES)
    assert.equal(kept.at(-1), `new ${MAX_HISTORY_LINES}`)
  })

  it('has the lines of two shells that are open at once', async () => {
    await writeFile(file(), 'before\n')
    const [one, other] = [await History.open(home), await History.open(home)]
    one.add('one')
    other.add('other')
    await Promise.all([one.written(), other.written()])
    one.add('one again')
    await one.written()
    const kept = (await readFile(file(), 'utf8')).trimEnd().split('\n')
    assert.deepEqual([kept.at(0), ...kept.slice(1, -1).sort(), kept.at(-1)], ['before', 'one', 'other', 'one again'])
    assert.deepEqual(await readdir(home.path), ['repl_history'])
    assert.equal((await stat(file())).mode & 0o777, 0o600)
  })

  it('has the lines of a failed write after the next one', async () => {
    const history = await History.open(home)
    await mkdir(file())
    history.add('first')
    await history.written()
    await rm(file(), { recursive: true })
    history.add('second')
    await history.written()
    assert.equal(await readFile(file(), 'utf8'), 'first\nsecond\n')
  })

  it('has no content of tasks and calls', () => {
    assert.equal(withoutContent('send-task bob --text "my secret" --json'), 'send-task bob --text  --json')
    assert.equal(withoutContent("call bob /x --data='{}' --timeout 1s"), 'call bob /x --data= --timeout 1s')
    assert.equal(withoutContent('send-task bob --text'), 'send-task bob --text')
    assert.equal(withoutContent("send-task '--text' a'b'\\ c"), "send-task '--text'")
    assert.equal(withoutContent('send-task bob --payload file'), 'send-task bob --payload file')
  })
})
