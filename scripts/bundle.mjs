// Bundles the command line into bundle/: one file for the start, one for each command, and what they share in chunks, so that a command
// reads and compiles only what it uses. The library stays as tsc made it, in dist/.
import { globSync, rmSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { build } from 'esbuild'

const OUT = 'bundle'
// bundled CommonJS modules ask for what an ES module does not have
const BANNER = `const require = process.getBuiltinModule('node:module').createRequire(import.meta.url), __filename = import.meta.filename, __dirname = import.meta.dirname`

/** Built-in modules as CommonJS has them: an ES import of `node:fs` reads every member of it, and so loads all that is made on demand. */
const builtins = {
  name: 'builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /.*/ }, ({ path, kind }) =>
      kind === 'import-statement' && isBuiltin(path) ? { path: path.replace(/^node:/, ''), namespace: 'builtin' } : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(`node:${path}`)})`,
    }))
  },
}

const commands = globSync('src/commands/**/*.ts')
rmSync(OUT, { recursive: true, force: true })
await build({
  entryPoints: ['src/cli/main.ts', ...commands],
  outdir: OUT,
  outbase: 'src',
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  mainFields: ['module', 'main'],
  // oclif would look for the user's, to run TypeScript sources
  external: ['typescript'],
  banner: { js: BANNER },
  minifyWhitespace: true,
  minifySyntax: true,
  sourcemap: 'linked',
  sourcesContent: false,
  logLevel: 'warning',
  plugins: [builtins],
})
process.stdout.write(`bundled ${commands.length} commands into ${OUT}/\n`)
