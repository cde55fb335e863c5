// Checks the layer rules, and that the checker found the source: without modules it would report no faults.
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cruise } from 'dependency-cruiser'
import extractTSConfig from 'dependency-cruiser/config-utl/extract-ts-config'

const rules = createRequire(import.meta.url)('../.dependency-cruiser.cjs')
const { output } = await cruise(
  ['src'],
  { ...rules.options, ruleSet: { forbidden: rules.forbidden }, validate: true },
  rules.options.enhancedResolveOptions,
  {
    tsConfig: extractTSConfig('tsconfig.json'),
  },
)
const files = readdirSync('src', { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => `${entry.parentPath}/${entry.name}`)
const seen = new Set(output.modules.map(({ source }) => source))
const missed = files.filter((file) => !seen.has(file))
const imports = output.modules.filter(({ source }) => seen.has(source)).reduce((sum, { dependencies }) => sum + dependencies.length, 0)
const expected = files.reduce((sum, file) => sum + (readFileSync(file, 'utf8').match(/^import .* from '\.{1,2}\//gm)?.length ?? 0), 0)

for (const { rule, from, to } of output.summary.violations) {
  process.stderr.write(`${rule.name}: ${from} → ${to}\n`)
}
if (missed.length > 0 || imports < expected) {
  process.stderr.write(`the checker did not see all: ${missed.join(', ')} (${imports} imports of at least ${expected})\n`)
  process.exitCode = 1
} else if (output.summary.violations.length > 0) {
  process.exitCode = 1
} else {
  process.stdout.write(`layers: ${files.length} files, ${imports} imports, no arrow against the design\n`)
}
