import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tryOut } from '../support/linked-project.ts'
import { TempFolders } from '../support/temp.ts'

/** A document of blocks; each has its info string first. */
function document(...blocks: Array<[string, string]>): string {
  return blocks.map(([info, code]) => `\`\`\`${info}\n${code}\n\`\`\`\n`).join('\n')
}

describe('trying out a document', () => {
  const folders = new TempFolders()
  let folder: string

  beforeEach(async () => {
    folder = await folders.make()
  })

  afterEach(async () => folders.clean())

  it('writes its files, runs its commands, and compares all that they print', async () => {
    const markdown = document(
      ['json a/b.json', '{ "port": 4001 }'],
      ['sh', 'export WORD=there\ncat a/b.json'],
      ['text', '{ "port": 4001 }'],
      ['sh', 'echo "hello $WORD"; echo "and on stderr" >&2'],
      ['text', 'hello there\nand on stderr'],
      ['sh', 'echo "error: so it is"; exit 3'],
      ['text', 'error: so it is'],
      ['sh', 'true'],
    )
    await tryOut({ markdown, folder, placeholders: { '4001': '5999' } })
    assert.equal(await readFile(join(folder, 'a/b.json'), 'utf8'), '{ "port": 5999 }\n')
  })

  it('lets what runs in the background run until the end, and no longer', async () => {
    const markdown = document(
      ['sh background', 'echo $$ > pid; echo runs; exec tail -f /dev/null'],
      ['text', 'runs'],
      ['sh', 'kill -0 $(cat pid) && echo still'],
      ['text', 'still'],
    )
    await tryOut({ markdown, folder })
    const pid = Number(await readFile(join(folder, 'pid'), 'utf8'))
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  })

  const wrong: Record<string, string> = {
    'that prints something else': document(['sh', 'echo one'], ['text', 'two']),
    'that prints more': document(['sh', 'echo one; echo two'], ['text', 'one']),
    'that prints something where nothing is shown': document(['sh', 'echo one']),
    'that fails': document(['sh', 'false']),
    'that fails before its end': document(['sh', 'false\necho one'], ['text', 'one']),
    'that does not fail where it should': document(['sh', 'echo "error: no"'], ['text', 'error: no']),
    'that does not run on': document(['sh background', 'true'], ['text', 'runs']),
    'that runs on without a sign': document(['sh background', 'true']),
    'of an output without a command': document(['text', 'one']),
    'of a file without a name': document(['ts', 'const a = 1']),
    'of a command that is neither': document(['sh sometimes', 'true']),
    'that is not fenced': 'Some code:\n\n    const a = 1\n',
    'that is fenced in another way': '- a list\n  ```sh\n  true\n  ```\n',
    'that is not closed': '```sh\ntrue\n',
  }
  for (const [what, markdown] of Object.entries(wrong)) {
    it(`rejects a block ${what}`, async () => {
      await assert.rejects(tryOut({ markdown, folder }), assert.AssertionError)
    })
  }
})
