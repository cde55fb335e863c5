import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'

const DOCS = new URL('../../docs/', import.meta.url)
const SOURCE = new URL('../../src/', import.meta.url)
const page = readFileSync(new URL('security.md', DOCS), 'utf8')

describe('the page about security', () => {
  it('names for every bound a place in the code that exists', () => {
    const { bounds = '' } = /## The bounds(?<bounds>.*)## What is not defended/s.exec(page)?.groups ?? {}
    const rows = bounds.split('\n').filter((line) => /^\| (?!what \|)/.test(line))
    assert.ok(rows.length > 50, `${rows.length} rows`)
    for (const row of rows) {
      const places = [...(row.split(' | ').at(-1) ?? '').matchAll(/`([^`]+)`/g)].map(([, place = '']) => place)
      assert.notEqual(places.length, 0, row)
      for (const place of places) {
        assert.ok(existsSync(new URL(`${place}.ts`, SOURCE)) || existsSync(new URL(`${place}/`, SOURCE)), `${place} of ${row}`)
      }
    }
  })

  it('has no link that leads nowhere', () => {
    for (const [, file = ''] of page.matchAll(/\]\(([^)#]+)/g)) {
      assert.ok(existsSync(new URL(file, DOCS)), file)
    }
  })
})
