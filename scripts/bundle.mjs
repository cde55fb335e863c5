// Bundles the command line into bundle/: main.js finds the command and shows help, commands.js has all commands, and what is imported where
// it is used (libp2p, the control socket's client, questions) is in files of its own. Few files: finding each costs a millisecond. The
// library stays as tsc made it, in dist/.
import { globSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { basename, join, sep } from 'node:path'
import { build, transform } from 'esbuild'

const OUT = 'bundle'
const SELDOM_USED = ['child_process', 'http', 'https', 'http2', 'tls', 'zlib']
// bundled CommonJS modules ask for what an ES module does not have; most of it are built-in modules
const BANNER = `const __filename = import.meta.filename, __dirname = import.meta.dirname, __take = globalThis.process.getBuiltinModule, require = new Proxy((name) => __take(name) ?? __take('node:module').createRequire(import.meta.url)(name), { get: (_, name) => __take('node:module').createRequire(import.meta.url)[name] })`

/** All commands, as oclif's strategy "explicit" wants them: `chain/list.ts` is the command `chain:list`. */
const commandMap = {
  name: 'command-map',
  setup({ onResolve, onLoad }) {
    const files = globSync('**/*.ts', { cwd: 'src/commands' }).sort()
    onResolve({ filter: /^command-map$/ }, ({ path }) => ({ path, namespace: 'made' }))
    onLoad({ filter: /.*/, namespace: 'made' }, () => ({
      resolveDir: 'src/commands',
      contents: [
        ...files.map((file, index) => `import command${index} from ${JSON.stringify(`./${file}`)}`),
        `export const COMMANDS = { ${files.map((file, index) => `${JSON.stringify(idOf(file))}: command${index}`).join(', ')} }`,
      ].join('\n'),
    }))
  },
}

const { outputFiles } = await build({
  entryPoints: { main: 'src/cli/main.ts', commands: 'command-map' },
  chunkNames: '[name]-[hash]',
  outdir: OUT,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  mainFields: ['module', 'main'],
  // oclif would look for the user's, to run TypeScript sources
  external: ['typescript'],
  inject: ['scripts/headers.mjs'],
  // the other one looks at Node's own, and so loads it
  define: { 'globalThis.Headers': 'undefined' },
  banner: { js: BANNER },
  sourcemap: 'inline',
  sourcesContent: false,
  logLevel: 'warning',
  plugins: [commandMap],
  write: false,
})

rmSync(OUT, { recursive: true, force: true })
mkdirSync(OUT)
for (const { path, text } of outputFiles) {
  const name = basename(path)
  const { code, map } = await transform(withLazyBuiltins(text), {
    format: 'esm',
    target: 'node24',
    minifyWhitespace: true,
    sourcemap: 'external',
    sourcesContent: false,
    sourcefile: name,
  })
  writeFileSync(join(OUT, name), `${code}//# sourceMappingURL=${name}.map\n`)
  writeFileSync(join(OUT, `${name}.map`), map)
}
process.stdout.write(`bundled the command line into ${OUT}/, ${outputFiles.length} files\n`)

function idOf(file) {
  return file.replace(/\.ts$/, '').replaceAll(sep, ':')
}

/**
 * Takes built-in modules as CommonJS does: an ES import of `node:fs` reads every member of it, and so loads all that is made on demand.
 * Those that many name and few use are taken only when they are used. Line for line, so that the source maps stay true.
 */
function withLazyBuiltins(code) {
  return code.replace(/^import ([^"';]+) from "([^"]+)";$/gm, (statement, names, module) => {
    if (!isBuiltin(module)) {
      return statement
    }
    const [, first, rest] = /^(\w+)?(?:, )?([\s\S]*)$/.exec(names)
    const taken = `__take("node:${module.replace(/^node:/, '')}")`
    const later = SELDOM_USED.includes(module.replace(/^node:/, '')) ? `new Proxy({}, { get: (_, name) => ${taken}[name] })` : taken
    const parts = [
      ...(first == null ? [] : [`${first} = ${later}`]),
      ...(rest === '' ? [] : [`${rest.replace(/^\* as /, '').replaceAll(' as ', ': ')} = ${rest.startsWith('*') ? later : taken}`]),
    ]
    return `var ${parts.join(', ')};`
  })
}
