import assert from 'node:assert/strict'
import { glob, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')
const PAGES = ['*.md', 'docs/*.md', 'bench/*.md', 'examples/**/*.md', 'deploy/**/*.md']
const LINK = /\]\(([^)\s]+)\)/g
const ELSEWHERE = /^[a-z]+:/
const CODE = /```[\s\S]*?```/g

/** The links of a page to files of this repository. Brackets in code are none. */
function linksOf(markdown: string): string[] {
  const prose = markdown.replace(CODE, '').replace(/`[^`\n]*`/g, '')
  return [...prose.matchAll(LINK)].map(([, target = '']) => target).filter((target) => !ELSEWHERE.test(target))
}

/** The anchors of a page, as GitHub makes them of its headings. */
function anchorsOf(markdown: string): string[] {
  const headings = [...markdown.replace(CODE, '').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading)
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\-_ ]/gu, '')
      .replaceAll(' ', '-'),
  )
}

async function isThere(page: string, target: string): Promise<boolean> {
  const [path = '', anchor] = target.split('#')
  const file = path === '' ? page : join(dirname(page), path)
  if (anchor == null) {
    return (await Array.fromAsync(glob(file))).length > 0
  }
  return anchorsOf(await readFile(file, 'utf8').catch(() => '')).includes(anchor)
}

describe('the links of the docs', () => {
  it('lead to files and headings that are there', async () => {
    const broken: string[] = []
    for await (const name of glob(PAGES, { cwd: ROOT, exclude: ['**/node_modules'] })) {
      const page = join(ROOT, name)
      for (const target of linksOf(await readFile(page, 'utf8'))) {
        if (!(await isThere(page, target))) {
          broken.push(`${name}: ${target}`)
        }
      }
    }
    assert.deepEqual(broken, [])
  })
})
