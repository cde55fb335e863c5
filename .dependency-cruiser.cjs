// Arrows go one way: commands → cli → session → node → {protocol, resolve, gossip, chain} → primitives, gen.
const layers = ['primitives', 'protocol', 'resolve', 'gossip', 'chain', 'node', 'session', 'cli', 'commands']
const allowed = {
  primitives: [],
  protocol: ['primitives', 'gen'],
  resolve: ['primitives', 'gen'],
  gossip: ['primitives', 'gen'],
  chain: ['primitives', 'gen'],
  node: ['primitives', 'gen', 'protocol', 'resolve', 'gossip', 'chain'],
  session: ['primitives', 'gen', 'protocol', 'resolve', 'gossip', 'chain', 'node'],
  cli: ['primitives', 'gen', 'protocol', 'resolve', 'gossip', 'chain', 'node', 'session'],
  commands: ['primitives', 'gen', 'protocol', 'resolve', 'gossip', 'chain', 'node', 'session', 'cli'],
}

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    { name: 'not-resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'not-in-package-json',
      severity: 'error',
      from: { path: '^src' },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'npm-dev'] },
    },
    ...layers.map((layer) => ({
      name: `${layer}-imports-only-what-is-below`,
      severity: 'error',
      from: { path: `^src/${layer}/` },
      to: { path: '^src/', pathNot: `^src/(${[layer, ...allowed[layer]].join('|')})/` },
    })),
    {
      name: 'only-compose-joins-siblings',
      severity: 'error',
      from: { path: '^src/resolve/tiers/' },
      to: { path: '^src/(protocol|gossip|chain|node)/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.json'],
    },
  },
}
