// Arrows go one way: commands → cli → session → node → {protocol, resolve, gossip, chain} → observe → primitives, gen.
const layers = ['primitives', 'observe', 'protocol', 'resolve', 'gossip', 'chain', 'node', 'session', 'cli', 'commands', 'testing']
const allowed = {
  primitives: [],
  observe: ['primitives'],
  protocol: ['observe', 'primitives', 'gen'],
  resolve: ['observe', 'primitives', 'gen'],
  gossip: ['observe', 'primitives', 'gen'],
  chain: ['observe', 'primitives', 'gen'],
  node: ['observe', 'primitives', 'gen', 'protocol', 'resolve', 'gossip', 'chain'],
  session: ['observe', 'primitives', 'gen', 'protocol', 'resolve', 'gossip', 'chain', 'node'],
  cli: ['observe', 'primitives', 'gen', 'protocol', 'resolve', 'gossip', 'chain', 'node', 'session'],
  testing: ['observe', 'primitives', 'resolve', 'chain'],
  commands: ['observe', 'primitives', 'gen', 'protocol', 'resolve', 'gossip', 'chain', 'node', 'session', 'cli'],
}

// The rooms of a layer, and the rooms that each may import. Files outside of a room stand above all rooms, except where a room names '.'.
const rooms = {
  protocol: {
    api: [],
    message: ['api'],
    'carrier/negotiate': ['api'],
    'carrier/plain': ['api', 'message', 'carrier/negotiate'],
    'carrier/kept': ['api', 'message', 'carrier/negotiate'],
    carrier: ['api', 'message'],
    call: ['api', 'message', 'carrier'],
    serve: ['api', 'message', 'carrier'],
    builtin: ['api', 'message', 'call', 'serve', '.'],
  },
  node: {
    network: [],
    home: ['network'],
    handlers: ['home'],
    admission: [],
    dial: ['network', 'admission'],
    adapters: ['home', 'network', 'dial'],
    'port-mapping': ['dial'],
    reachability: ['network', 'dial', 'adapters'],
    stack: ['network', 'admission', 'dial', 'adapters', 'reachability'],
    direct: ['network', 'dial', 'adapters', 'stack'],
  },
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
    ...Object.entries(rooms).flatMap(([layer, of]) =>
      Object.entries(of).map(([room, below]) => ({
        name: `${layer}/${room}-imports-only-rooms-below`,
        severity: 'error',
        from: { path: `^src/${layer}/${room}/` },
        to: {
          path: `^src/${layer}/`,
          pathNot: `^src/${layer}/(${[room, ...below].map((one) => (one === '.' ? '[^/]+$' : `${one}/`)).join('|')})`,
        },
      })),
    ),
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
