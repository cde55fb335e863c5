// npm run release:check: checks whether this tree can be released. Prints one line per fault; exits with 1 after any fault.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const json = (file) => JSON.parse(readFileSync(file, 'utf8'))
const git = (...args) => execFileSync('git', args, { encoding: 'utf8' }).trim()
const { version } = json('package.json')
const changelog = readFileSync('CHANGELOG.md', 'utf8')
const [, unreleased = ''] = /^## Unreleased\n([\s\S]*?)(?=^## )/m.exec(changelog) ?? []
const lock = json('package-lock.json')

const faults = [
  [git('status', '--porcelain') !== '', 'the tree has changes that are not committed'],
  [git('tag', '--list', `v${version}`) !== '', `the tag v${version} exists: raise the version in package.json`],
  [!/^\d+\.\d+\.\d+$/.test(version), `package.json: "${version}" is no version for a release`],
  [
    lock.version !== version || lock.packages[''].version !== version,
    'package-lock.json has another version than package.json: npm install',
  ],
  [
    !new RegExp(`^## ${RegExp.escape(version)} \\(\\d{4}-\\d{2}-\\d{2}\\)$`, 'm').test(changelog),
    `CHANGELOG.md: no section "## ${version} (YYYY-MM-DD)"`,
  ],
  [unreleased.trim() !== '', `CHANGELOG.md: what stands under "Unreleased" belongs under ${version}`],
].filter(([isFault]) => isFault)

for (const [, what] of faults) {
  process.stderr.write(`${what}\n`)
}
if (faults.length === 0) {
  process.stdout.write(`${version} can be released: run .ci/run, then git tag v${version}\n`)
}
process.exitCode = faults.length === 0 ? 0 : 1
