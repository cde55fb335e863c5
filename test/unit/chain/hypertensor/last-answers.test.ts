import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CHAIN_ANSWERS_SCHEMA } from '../../../../src/chain/hypertensor/chain-answers-schema.ts'
import { LastAnswers } from '../../../../src/chain/hypertensor/last-answers.ts'
import { createLogger } from '../../../../src/observe/logger.ts'
import { openDatabase } from '../../../../src/primitives/database.ts'
import { TempFolders } from '../../../support/temp.ts'

const SECRET = 'c0ffee00c0ffee00'
const URL = `hypertensor:wss://node.example/${SECRET}`
const INSERT = 'INSERT INTO chain_answers (chain, subnet_id, question, json, block, read_at_ms) VALUES (?, 1, ?, ?, 1, 1)'

describe('the last answers of a chain', () => {
  const folders = new TempFolders()
  let home: string

  beforeEach(async () => {
    home = await folders.make()
  })

  afterEach(async () => folders.clean())

  async function open(): ReturnType<typeof openDatabase> {
    return openDatabase({ file: join(home, 'node.db'), name: 'the answers' }, [CHAIN_ANSWERS_SCHEMA])
  }

  async function bytes(): Promise<string> {
    const files = await readdir(home)
    return (await Promise.all(files.map(async (name) => readFile(join(home, name), 'latin1')))).join('')
  }

  it('leaves no byte of the URLs that an earlier version kept', async () => {
    const before = await open()
    for (let question = 0; question < 500; question++) {
      before.prepare(INSERT).run(URL, `question ${question}`, '"an answer"')
    }
    before.close()
    assert.ok((await bytes()).includes(SECRET))
    const answers = new LastAnswers({ open, chain: URL, subnetId: 1, log: createLogger('error', assert.fail) })
    answers.sawGenesis('0x01')
    answers.put('a question', { json: 'true', block: 2, readAtMs: 2 })
    await answers.close()
    assert.ok(!(await bytes()).includes(SECRET))
    const after = await open()
    assert.deepEqual(
      after
        .prepare('SELECT question FROM chain_answers')
        .all()
        .map(({ question }) => question),
      ['a question'],
    )
    after.close()
  })
})
