import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chainFlags, commonFlags, flagsOf, nodeFlags, servingFlags, startFlags } from '../../src/cli/flags.ts'
import { kebab, SETTING_NAMES, SETTINGS, type SettingName, shownDefault, variableOf } from '../../src/node/home/config.ts'

const ROOT = join(import.meta.dirname, '../..')
const NO_FLAG = /^config and environment only/

interface Row {
  shown: string
  about: string
}

/** A cell as it is read: without code marks, with the words of a link alone. */
function textOf(cell: string): string {
  return cell
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll('`', '')
    .trim()
}

/** The table of settings, by what the first column calls them. */
async function readRows(): Promise<Map<string, Row>> {
  const settings = await readFile(join(ROOT, 'docs/settings.md'), 'utf8')
  const [, table = ''] = /\| setting \| default \| \|\n\|[-|]+\|\n((?:\|.*\n)+)/.exec(settings) ?? []
  const rows = table
    .trim()
    .split('\n')
    .map((line) => line.slice(1, -1).split(/(?<!\\)\|/))
  return new Map(
    rows.flatMap(([names = '', shown = '', about = '']) =>
      textOf(names)
        .split(', ')
        .map((name): [string, Row] => [name, { shown: textOf(shown), about: textOf(about) }]),
    ),
  )
}

function rowName(name: SettingName): string {
  const { flag, list } = SETTINGS[name]
  return flag == null ? name : `--${kebab(name)}${list === true ? '…' : ''}`
}

describe('the table of settings in docs/settings.md', () => {
  let rows: Map<string, Row>

  before(async () => {
    rows = await readRows()
  })

  for (const name of SETTING_NAMES) {
    it(`has ${name} as it is declared: its name, its default, and whether it has a flag`, () => {
      const row = rows.get(rowName(name))
      assert.ok(row != null, `no row for ${rowName(name)}`)
      assert.equal(row.shown, shownDefault(name))
      assert.equal(NO_FLAG.test(row.about), SETTINGS[name].flag == null)
    })
  }

  it('has no others but the home', () => {
    assert.deepEqual([...rows.keys()].sort(), ['--home', ...SETTING_NAMES.map(rowName)].sort())
  })
})

describe('the flag of a setting', () => {
  const flags = { ...commonFlags, ...chainFlags, ...nodeFlags, ...startFlags, ...servingFlags }

  for (const name of SETTING_NAMES.filter((each) => SETTINGS[each].flag != null)) {
    it(`is what its declaration says: ${name}`, () => {
      const { flag, list, isSwitch } = SETTINGS[name]
      const found = Object.entries(flags).find(([each]) => each === kebab(name))?.[1]
      assert.ok(found != null)
      assert.deepEqual([found.type, found.type === 'option' && found.multiple === true], [isSwitch ? 'boolean' : 'option', list === true])
      assert.equal(found.description, flag?.help.replace('{default}', `[default: ${shownDefault(name)}]`))
    })
  }

  it('is none where only config.json and the environment know the setting', () => {
    assert.throws(() => flagsOf(['kadProtocol']), /has no flag/)
  })
})

describe('the docs', () => {
  it('name no setting that there is not', async () => {
    const docs = (await readdir(join(ROOT, 'docs'))).filter((file) => file.endsWith('.md')).map((file) => `docs/${file}`)
    const variables = new Set([...SETTING_NAMES.map(variableOf), 'SUBNET_HOME', 'SUBNET_TASK_ID', 'SUBNET_PEER_ID'])
    for (const file of ['README.md', ...docs]) {
      const text = await readFile(join(ROOT, file), 'utf8')
      const named = [...text.matchAll(/\bSUBNET_[A-Z_]+\b/g)].map(([variable]) => variable).filter((variable) => variable !== 'SUBNET_')
      assert.deepEqual(
        named.filter((variable) => !variables.has(variable)),
        [],
        file,
      )
    }
  })
})
