import assert from 'node:assert/strict'
import { UsageError } from '../../../src/primitives/errors.ts'
import { shellWords } from '../../../src/primitives/shell-words.ts'

function words(line: string): string[] {
  return shellWords(line).map(({ text }) => text)
}

describe('the words of a line', () => {
  for (const [line, expected] of [
    ['', []],
    ['  \t ', []],
    ['a  b\tc ', ['a', 'b', 'c']],
    ['\'a b\' "c d"', ['a b', 'c d']],
    ['a\'b\'"c"d', ['abcd']],
    ['""', ['']],
    ["--text ''", ['--text', '']],
    ['a\\ b \\\\ \\| \\"', ['a b', '\\', '|', '"']],
    ['"a\\"b\\\\c\\$d\\`e\\n"', ['a"b\\c$d`e\\n']],
    ["'a\\b $HOME | > &&'", ['a\\b $HOME | > &&']],
    ['"a | b > c && d; e"', ['a | b > c && d; e']],
    ['a # the rest', ['a']],
    ['# nothing', []],
    ['a#b "#c"', ['a#b', '#c']],
    ['*.ts ~ ? [a] {b} $5 5$', ['*.ts', '~', '?', '[a]', '{b}', '$5', '5$']],
    ['Grüße 漢字 🙂', ['Grüße', '漢字', '🙂']],
  ] as Array<[string, string[]]>) {
    it(`are as in a shell: ${line}`, () => {
      assert.deepEqual(words(line), expected)
    })
  }

  for (const [line, operator] of [
    ['a | b', '|'],
    ['a|b', '|'],
    ['a || b', '||'],
    ['a && b', '&&'],
    ['a &', '&'],
    ['a > b', '>'],
    ['a >> b', '>>'],
    ['a < b', '<'],
    ['a; b', ';'],
    ['a `b`', '`'],
    ['a $(b)', '$('],
    ['a "$(b)"', '$('],
    ['a $HOME', '$H'],
    [`a "\${HOME}"`, '${'],
  ] as Array<[string, string]>) {
    it(`are none where a shell would do something: ${line}`, () => {
      assert.throws(
        () => shellWords(line),
        (error) => error instanceof UsageError && error.message.startsWith(JSON.stringify(operator)) && /in a shell/.test(error.hint ?? ''),
      )
    })
  }

  it('need closed quotes', () => {
    assert.throws(() => shellWords('a "b'), { message: 'the quote " at character 3 is not closed' })
    assert.throws(() => shellWords("'"), { message: "the quote ' at character 1 is not closed" })
    assert.throws(() => shellWords('a \\'), { message: 'nothing follows the last backslash' })
  })

  it('know where they stand', () => {
    assert.deepEqual(shellWords('ab "c d"'), [
      { text: 'ab', start: 0, end: 2 },
      { text: 'c d', start: 3, end: 8 },
    ])
  })
})
