import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { glob, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { SETTING_NAMES } from '../../src/node/home/config.ts'
import { EXIT_CODES } from '../../src/primitives/errors.ts'
import { notRun } from '../support/not-run.ts'

const ROOT = join(import.meta.dirname, '../..')
const MAN_PAGE = join(ROOT, 'man/subnet.1')

/** What `subnet` calls its commands. */
async function commands(): Promise<string[]> {
  const files = await Array.fromAsync(glob('**/*.ts', { cwd: join(ROOT, 'src/commands') }))
  return files.map((file) => file.replace(/\.ts$/, '').replaceAll('/', ' ')).filter((id) => id !== 'complete')
}

describe('the reference', () => {
  it('has every command, setting and exit code', async () => {
    const text = await readFile(join(ROOT, 'docs/reference.md'), 'utf8')
    const wanted = [
      ...(await commands()).map((id) => `\n### subnet ${id}\n`),
      ...SETTING_NAMES.map((name) => `\n| \`${name}\` |`),
      ...Object.entries(EXIT_CODES).map(([name, code]) => `\n| ${code} | \`${name}\` |`),
    ]
    assert.deepEqual(
      wanted.filter((each) => !text.includes(each)),
      [],
    )
  })

  it('has the fields of what a task answers', async () => {
    const text = await readFile(join(ROOT, 'docs/reference.md'), 'utf8')
    const [, section = ''] = /\n### subnet send-task\n([\s\S]*?)\n### /.exec(text) ?? []
    const fields = [...section.matchAll(/^\| `([\w.[\]]+)` \| (?:text|number|true|object|array|")/gm)].map(([, field]) => field)
    for (const field of ['taskId', 'accepted', 'error.code', 'bytesSent', 'resultBase64', 'attempts[].outcome', 'timings.totalMs']) {
      assert.ok(fields.includes(field), field)
    }
  })

  for (const columns of [80, 120]) {
    it(`is a man page too, which roff takes without a word and which fits ${columns} columns`, async function () {
      if (spawnSync('groff', ['--version']).status !== 0) {
        notRun(this, 'groff is not here')
      }
      const line = `-rLL=${columns}n`
      const { stdout, stderr } = await promisify(execFile)('groff', ['-man', '-Tutf8', '-wall', '-P-c', line, MAN_PAGE], {
        maxBuffer: 1 << 24,
      })
      assert.equal(stderr, '')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that is how it prints bold and underlined
      const shown = stdout.replace(/.\u0008/g, '')
      for (const id of await commands()) {
        assert.match(shown, new RegExp(`^ {3}subnet ${id}( |$)`, 'm'))
      }
      const text = shown.split('\n').filter((each) => !/\S{40,}|^ +\$ |^ {3}subnet /.test(each))
      assert.deepEqual(
        text.filter((each) => [...each].length > columns),
        [],
      )
    })
  }
})
