import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { COUNT, callModules, GREET } from '../support/call-modules.ts'
import { Cli, jsonError, type Outcome, onlyJson, type RunningNode } from '../support/cli.ts'
import { bufBuild } from '../support/proto-files.ts'
import { Terminal } from '../support/pty.ts'

const TASK = '/subnet/task_protocol/1.0.0'
const INT32 = 'int32 (a whole number from -2147483648 to 2147483647)'

/** Those that commands are tried on. */
interface World {
  folder: string
  /** Speaks GREET and COUNT, and tells of them. */
  node: RunningNode
  /** Speaks them too, and tells nothing. */
  quiet: RunningNode
}

function lines(outcome: Outcome): unknown[] {
  assert.ok(outcome.stdout === '' || outcome.stdout.endsWith('\n'), outcome.stdout)
  return outcome.stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
}

describe('protocols of a peer', function () {
  this.timeout(120_000)
  const cli = new Cli()
  let world: World

  before(async () => {
    const folder = await cli.folder()
    await callModules(folder)
    const modules = ['--protocol', join(folder, 'greet.mjs'), '--protocol', join(folder, 'count.mjs')]
    const [node, quiet] = await Promise.all([
      cli.start(await cli.home(), [...modules, '--protocol', join(folder, 'raw.ts')]),
      cli.start(await cli.home(), [...modules, '--no-reflection']),
    ])
    world = { folder, node, quiet }
  })

  after(async () => cli.clean())

  for (const mode of ['alone', 'attached'] as const) {
    describe(mode === 'alone' ? 'called by a node of its own' : 'called by the node that runs in the home', () => {
      let home: string

      before(async () => {
        home = await cli.home({ bootstrap: [world.node.address], listen: ['/ip4/127.0.0.1/tcp/0'] })
        if (mode === 'attached') {
          const attached = await cli.start(home)
          await attached.running.event('peer:connect', ({ peerId }) => peerId === world.node.peerId)
        }
        await cli.json(home, ['alias', 'set', 'bob', world.node.peerId])
      })

      async function call(protocol: string, data: string, ...flags: string[]): Promise<Outcome> {
        return cli.run(home, ['call', 'bob', protocol, '--data', data, ...flags])
      }

      /** The error of a call, in words and in JSON. */
      async function failed(args: string[], code: string, exit: number): Promise<ReturnType<typeof jsonError>> {
        const [words, json] = await Promise.all([
          cli.run(home, args, { cwd: world.folder }),
          cli.run(home, [...args, '--json'], { cwd: world.folder }),
        ])
        assert.deepEqual([words.code, words.stdout, json.code, json.stderr], [exit, '', exit, ''], words.stderr)
        const error = jsonError(json)
        assert.deepEqual([error.code, error.exit], [code, exit])
        const message = error.message.replace(world.node.peerId, `bob (${world.node.peerId})`)
        assert.equal(words.stderr, `error: ${message}\n${error.hint == null ? '' : `hint: ${error.hint}\n`}`)
        return error
      }

      it('are listed, as a table and in JSON', async () => {
        const [table, json] = await Promise.all([cli.run(home, ['protocol', 'list', 'bob']), cli.json(home, ['protocol', 'list', 'bob'])])
        assert.deepEqual([table.code, table.stderr], [0, ''])
        const rows = table.stdout
          .trimEnd()
          .split('\n')
          .map((row) => row.split(/ {2,}/))
        assert.deepEqual(rows[0], ['PROTOCOL', 'GIVES', 'REQUEST', 'RESPONSE'])
        const told = [
          [COUNT, 'many answers', 'GreetRequest', 'GreetResponse'],
          [GREET, 'one answer', 'GreetRequest', 'GreetResponse'],
          ['/test/raw/1.0.0', 'one answer', '-', '-'],
        ]
        assert.deepEqual(rows.slice(-3), told)
        const types = { requestType: 'greet.v1.GreetRequest', responseType: 'greet.v1.GreetResponse' }
        assert.deepEqual((json as unknown as object[]).slice(-3), [
          { id: COUNT, kind: 'server-streaming', ...types },
          { id: GREET, kind: 'unary', ...types },
          { id: '/test/raw/1.0.0', kind: 'unary', requestType: null, responseType: null },
        ])
      })

      it('are described: as .proto text that a call takes, and as JSON to fill in', async () => {
        const [text, json] = await Promise.all([
          cli.run(home, ['protocol', 'describe', 'bob', GREET]),
          cli.json(home, ['protocol', 'describe', 'bob', GREET]),
        ])
        assert.deepEqual([text.code, text.stderr], [0, ''])
        const { proto, example, fileDescriptorSetBase64, ...rest } = json
        assert.deepEqual(rest, {
          peerId: world.node.peerId,
          id: GREET,
          kind: 'unary',
          requestType: 'greet.v1.GreetRequest',
          responseType: 'greet.v1.GreetResponse',
        })
        assert.equal(proto, await readFile(join(world.folder, 'greet.proto'), 'utf8'))
        assert.ok(text.stdout.includes(String(proto)))
        assert.deepEqual(example, { name: '', times: 0, mood: 'MOOD_UNSPECIFIED', friends: [{ name: '', age: '0' }] })
        assert.ok(text.stdout.endsWith(`\n// subnet call ${world.node.peerId} ${GREET} --data '${JSON.stringify(example)}'\n`))

        const file = join(await cli.folder(), 'described.proto')
        await writeFile(file, text.stdout)
        const set = `${file}.binpb`
        await writeFile(set, Buffer.from(String(fileDescriptorSetBase64), 'base64'))
        for (const known of [file, set]) {
          const answer = await cli.json(home, ['call', world.quiet.address, GREET, '--data', '{"name":"Ada"}', '--proto', known])
          assert.deepEqual(answer, { text: 'Hello, Ada!' })
        }
      })

      it('take JSON and answer in JSON: readable, or with --json on one line', async () => {
        const data = '{"name": "Ada", "times": 3, "mood": "MOOD_GOOD", "friends": [{"name": "Bob", "age": "9007199254740993"}]}'
        const [pretty, compact] = await Promise.all([call(GREET, data), call(GREET, data, '--json')])
        assert.deepEqual([pretty.code, pretty.stderr], [0, ''])
        assert.equal(pretty.stdout, '{\n  "text": "Hello, Ada and Bob!",\n  "count": "3"\n}\n')
        assert.deepEqual([compact.code, compact.stderr], [0, ''])
        assert.equal(compact.stdout, '{"text":"Hello, Ada and Bob!","count":"3"}\n')
      })

      it('take the data from stdin, from a file, and none', async () => {
        const file = join(await cli.folder(), 'request.json')
        await writeFile(file, '{\n  "name": "Ada"\n}\n')
        const [stdin, fromFile, none] = await Promise.all([
          cli.run(home, ['call', 'bob', GREET, '--data', '-', '--json'], { stdin: '{"name":"Ada"}' }),
          call(GREET, `@${file}`, '--json'),
          cli.run(home, ['call', 'bob', GREET, '--json']),
        ])
        assert.deepEqual([onlyJson(stdin), onlyJson(fromFile)], [{ text: 'Hello, Ada!' }, { text: 'Hello, Ada!' }])
        assert.equal(none.stdout, '{}\n')
        const error = await failed(['call', 'bob', GREET, '--data', '@none.json'], 'USAGE', 2)
        assert.match(error.message, /none\.json cannot be read: no such file/)
        const { message } = await failed(['call', 'bob', GREET, '--data', '@~/none.json'], 'USAGE', 2)
        assert.ok(message.includes(`${homedir()}/none.json`), message)
      })

      it('show defaults too where that is asked for', async () => {
        const outcome = await call(GREET, '{"name":""}', '--emit-defaults', '--json')
        assert.equal(outcome.stdout, '{"text":"","count":"0","last":false}\n')
      })

      for (const [data, problem] of [
        ['{"nam": "Ada"}', 'nam: greet.v1.GreetRequest has no such field'],
        ['{"times": 2147483648}', `times: expected ${INT32}, got 2147483648`],
        ['{"friends": [{}, {"age": "x"}]}', 'friends[1].age: expected int64 (a whole number of 64 bits, over 2^53 as text), got "x"'],
        [
          '{"friends": [{"age": 9007199254740993}]}',
          'friends[0].age: 9007199254740993 is over 2^53, and a number that large is rounded in JSON',
        ],
        ['{"mood": "BAD"}', 'mood: expected greet.v1.Mood (one of MOOD_UNSPECIFIED, MOOD_GOOD), got "BAD"'],
        ['[]', 'expected an object (greet.v1.GreetRequest), got []'],
      ] as const) {
        it(`are not called with ${data}, and it is said why`, async () => {
          assert.equal((await failed(['call', 'bob', GREET, '--data', data], 'USAGE', 2)).message, `--data: ${problem}`)
        })
      }

      it('are not called with a field that the running peer does not serve: perhaps it runs an older protocol', async () => {
        const { hint } = await failed(['call', 'bob', GREET, '--data', '{"nam": "Ada"}'], 'USAGE', 2)
        assert.match(
          hint ?? '',
          /^did you mean name\? fields of .*; this is what the running peer serves; restart it after a change of its protocol$/,
        )
      })

      it('are not called with what is not JSON', async () => {
        const { message, hint } = await failed(['call', 'bob', GREET, '--data', '{name: Ada}'], 'USAGE', 2)
        assert.match(message, /^--data is not JSON: /)
        assert.equal(hint, '--data is a greet.v1.GreetRequest in protobuf JSON')
      })

      it('that are not spoken are an error that lists those that are', async () => {
        for (const command of [['call'], ['protocol', 'describe']]) {
          const { message, hint } = await failed([...command, 'bob', '/test/none/1.0.0'], 'PROTOCOL_UNSUPPORTED', 5)
          assert.match(message, /does not speak \/test\/none\/1\.0\.0/)
          assert.match(hint ?? '', new RegExp(`it speaks .*${TASK}, ${COUNT}, ${GREET}`))
        }
        for (const id of ['greet', '/a b', '']) {
          assert.match((await failed(['call', 'bob', id], 'USAGE', 2)).message, /^not a protocol id: /)
        }
        assert.match((await failed(['call', 'bob'], 'USAGE', 2)).hint ?? '', /"subnet protocol list bob"/)
      })

      it('whose messages are not protobuf cannot be called', async () => {
        for (const command of [['call'], ['protocol', 'describe']]) {
          const { message } = await failed([...command, 'bob', '/test/raw/1.0.0'], 'PROTOCOL_UNSUPPORTED', 5)
          assert.match(message, /does not describe the messages of \/test\/raw\/1\.0\.0/)
        }
      })

      it('that fail end with 8', async () => {
        const { message } = await failed(['call', 'bob', GREET, '--data', '{"name":"fail"}'], 'REMOTE_FAILED', 8)
        assert.match(message, /the peer may have acted on the request$/)
      })

      it('end in time', async () => {
        const { message } = await failed(['call', 'bob', GREET, '--data', '{"name":"wait"}', '--timeout', '3s'], 'TIMEOUT', 6)
        assert.match(message, /the peer may have acted on the request$/)
      })

      it('stream a line of JSON for each answer, with --json and without', async () => {
        const answers = [{ count: '1' }, { count: '2' }, { count: '3', last: true }]
        for (const flags of [[], ['--json']]) {
          const outcome = await call(COUNT, '{"times":3}', ...flags)
          assert.deepEqual([outcome.code, outcome.stderr, lines(outcome)], [0, '', answers])
        }
        const none = await call(COUNT, '{}', '--json')
        assert.deepEqual([none.code, none.stdout, none.stderr], [0, '', ''])
      })

      it('print an answer while the next is not there yet', async () => {
        const running = cli.launch(home, ['call', 'bob', COUNT, '--data', '{"name":"hold","times":2}'])
        await running.prints(/^\{"text":"hold","count":"1"\}\n$/)
        await call(GREET, '{"name":"release"}')
        assert.deepEqual(lines(await running.ended), [
          { text: 'hold', count: '1' },
          { text: 'hold', count: '2', last: true },
        ])
      })

      it('that fail in the middle of a stream print what came, then the error', async () => {
        const came = [
          { text: 'fail', count: '1' },
          { text: 'fail', count: '2' },
        ]
        const [words, json] = (await Promise.all(
          [[], ['--json']].map(async (flags) => call(COUNT, '{"name":"fail","times":9}', ...flags)),
        )) as [Outcome, Outcome]
        assert.deepEqual([words.code, lines(words)], [8, came])
        assert.match(words.stderr, /^error: .+\n(hint: .+\n)?$/)
        const [first, second, last] = lines(json)
        assert.deepEqual([json.code, json.stderr, [first, second]], [8, '', came])
        const { error, ...rest } = last as { error: { code: string; exit: number } }
        assert.deepEqual([rest, error.code, error.exit], [{}, 'REMOTE_FAILED', 8])
      })

      for (const [protocol, data] of [
        [COUNT, '{"name":"wait","times":2}'],
        [GREET, '{"name":"wait"}'],
      ] as const) {
        it(`are told of Ctrl-C, and the command ends by the signal: ${protocol}`, async () => {
          const { events } = world.node.running
          const before = events.length
          const fresh = (name: string): Promise<unknown> => world.node.running.event(name, (event) => events.indexOf(event) >= before)
          const running = cli.launch(home, ['call', 'bob', protocol, '--data', data])
          await fresh('waits')
          if (protocol === COUNT) {
            await running.prints(/"count":"1"/)
          }
          const outcome = await running.signal('SIGINT')
          assert.deepEqual([outcome.code, outcome.signal], [null, 'SIGINT'])
          assert.match(outcome.stderr, /^cancelled after (1 answer|\S+ m?s): the peer may have acted on the request\n$/)
          assert.equal(outcome.stdout, protocol === COUNT ? '{"text":"wait","count":"1"}\n' : '')
          assert.ok(outcome.ms < 10_000, `${outcome.ms} ms`)
          await fresh('left')
        })
      }

      it('of a peer that does not tell are called with --proto, and only so', async () => {
        const { address } = world.quiet
        for (const command of [['call'], ['protocol', 'describe']]) {
          const { message, hint } = await failed([...command, address, GREET], 'PROTOCOL_UNSUPPORTED', 5)
          assert.equal(message, `${world.quiet.peerId} does not describe its protocols`)
          assert.match(hint ?? '', /--proto FILE/)
        }
        const set = join(await cli.folder(), 'greet.binpb')
        const source = await cli.folder()
        await writeFile(join(source, 'greet.proto'), await readFile(join(world.folder, 'greet.proto')))
        await bufBuild(source, set)
        const types = ['--request-type', 'GreetRequest', '--response-type', 'greet.v1.GreetResponse']
        for (const flags of [
          ['--proto', join(world.folder, 'greet.proto')],
          ['--proto', set],
          ['--proto', set, ...types],
        ]) {
          assert.deepEqual(await cli.json(home, ['call', address, GREET, '--data', '{"name":"Ada"}', ...flags]), { text: 'Hello, Ada!' })
          const streamed = await cli.run(home, ['call', address, COUNT, '--data', '{"times":2}', '--stream', ...flags])
          assert.deepEqual([streamed.code, lines(streamed)], [0, [{ count: '1' }, { count: '2', last: true }]])
        }
        const other = ['--proto', join(world.folder, 'greet.proto'), '--request-type', 'Person', '--response-type', 'GreetResponse']
        assert.deepEqual(await cli.json(home, ['call', address, GREET, '--data', '{"name":"Bob"}', ...other]), { text: 'Hello, Bob!' })
        const none = await failed(['call', address, '/test/none/1.0.0', '--proto', set], 'PROTOCOL_UNSUPPORTED', 5)
        assert.match(none.message, /does not speak \/test\/none\/1\.0\.0/)
      })

      it('are not called with a --proto that is none, nor with flags that need one', async () => {
        for (const [flags, message] of [
          [['--proto', 'none.proto'], /^--proto none\.proto cannot be read: no such file/],
          [['--proto', 'driver.mjs'], /^--proto driver\.mjs is not valid: /],
          [['--proto', 'greet.proto', '--request-type', 'GreetRequest'], /go together/],
          [['--proto', 'greet.proto', '--request-type', 'Nope', '--response-type', 'Person'], /no message "Nope"/],
          [['--request-type', 'GreetRequest'], /^--request-type needs --proto/],
          [['--response-type', 'GreetResponse'], /^--response-type needs --proto/],
          [['--stream'], /^--stream needs --proto/],
        ] as Array<[string[], RegExp]>) {
          assert.match((await failed(['call', 'bob', GREET, ...flags], 'USAGE', 2)).message, message)
        }
      })

      it('cannot put control characters on a terminal', async () => {
        for (const flags of [[], ['--json']]) {
          const terminal = new Terminal(home, ['call', 'bob', GREET, '--data', '{"name":"evil"}', ...flags])
          assert.equal(await terminal.ended, 0)
          for (const control of ['\u009b', '\u202e', '\u0007', '\u001b[31m']) {
            assert.ok(!terminal.output.includes(control), JSON.stringify(terminal.output))
          }
          assert.match(terminal.screen.text, /"text": ?"/)
        }
        const piped = await call(GREET, '{"name":"evil"}', '--json')
        assert.equal(onlyJson(piped)['text'], '\u001b[31mred\u009b31m\u202e\u0007 end', 'as it came, for a program')
      })
    })
  }

  it('are listed by their ids alone where the peer does not tell, with a notice', async () => {
    const home = await cli.home({ bootstrap: [world.quiet.address], listen: ['/ip4/127.0.0.1/tcp/0'] })
    const attached = await cli.start(home)
    await attached.running.event('peer:connect', ({ peerId }) => peerId === world.quiet.peerId)
    // it is asked what it speaks as soon as it is connected
    await cli.json(home, ['ping', world.quiet.peerId])
    const [words, json] = await Promise.all([
      cli.run(home, ['protocol', 'list', world.quiet.peerId]),
      cli.run(home, ['protocol', 'list', world.quiet.peerId, '--json']),
    ])
    assert.deepEqual([words.code, json.code], [0, 0])
    assert.match(words.stderr, new RegExp(`^${world.quiet.peerId} does not describe its protocols; .*\\n$`))
    assert.equal(json.stderr, '', 'there the fields say it')
    const ids = words.stdout.trimEnd().split('\n')
    assert.ok([COUNT, GREET, TASK].every((id) => ids.includes(id)) && !ids.includes('/subnet/reflection/1.0.0'), words.stdout)
    const rows = onlyJson(json) as unknown as Array<{ id: string; kind: null }>
    assert.deepEqual(
      rows.map(({ id }) => id),
      ids,
    )
    assert.ok(rows.every(({ kind }) => kind == null))
  })

  it('end when nobody reads their answers any more', async () => {
    const command = `subnet call ${world.node.address} ${COUNT} --data '{"times":2000000000}'`
    const { stdout, stderr } = await cli.shell(await cli.home(), `${command} | head -1`)
    assert.deepEqual([stdout, stderr], ['{"count":"1"}\n', ''])
  })

  it('are called from the shell of a node; Ctrl-C ends the call, not the node', async () => {
    const terminal = new Terminal(await cli.home(), ['start', '--listen', '/ip4/127.0.0.1/tcp/0'])
    const { events } = world.node.running
    const before = events.length
    const fresh = (name: string): Promise<unknown> => world.node.running.event(name, (event) => events.indexOf(event) >= before)
    try {
      await terminal.prompt()
      terminal.type(`call ${world.node.address} ${COUNT} --data '{"times":2,"name":"x"}'\r`)
      await terminal.shows(/^\{"text":"x","count":"1"\}\n\{"text":"x","count":"2","last":true\}$/m)
      await terminal.prompt()
      terminal.type(`call ${world.node.address} ${COUNT} --data '{"times":2,"name":"wait"}'\r`)
      await fresh('waits')
      terminal.type('\u0003')
      await fresh('left')
      await terminal.prompt()
      terminal.type(`call ${world.node.address} ${GREET} --data -\r`)
      await terminal.shows(/^error: the data cannot be stdin/m)
    } finally {
      await terminal.end()
    }
  })

  describe('of a node that is told which peers it serves', () => {
    it('are for all others than the denied, and for the allowed alone', async () => {
      const [friend, foe] = await Promise.all([cli.home(), cli.home()])
      const [{ peerId: friendId }, { peerId: foeId }] = (await Promise.all([cli.json(friend, ['id']), cli.json(foe, ['id'])])) as [
        { peerId: string },
        { peerId: string },
      ]
      for (const config of [{ denyPeers: [foeId] }, { allowPeers: [friendId] }, { allowPeers: [friendId, foeId], denyPeers: [foeId] }]) {
        const node = await cli.start(await cli.home(config), ['--protocol', join(world.folder, 'greet.mjs'), '--handler', 'echo'])
        assert.deepEqual(await cli.json(friend, ['call', node.address, GREET, '--data', '{"name":"Ada"}']), { text: 'Hello, Ada!' })
        assert.equal((await cli.run(friend, ['send-task', node.address, '--text', 'x'])).stdout, 'x')
        const [called, listed, task] = await Promise.all([
          cli.run(foe, ['call', node.address, GREET, '--proto', join(world.folder, 'greet.proto'), '--json']),
          cli.run(foe, ['protocol', 'list', node.address, '--json']),
          cli.run(foe, ['send-task', node.address, '--text', 'x', '--json']),
        ])
        assert.deepEqual([jsonError(called).exit, jsonError(listed).exit, task.code], [8, 8, 7])
        assert.deepEqual(onlyJson(task)['error'], { code: 'TASK_REJECTED', message: `this node does not take requests of ${foeId}` })
        const { event, ...rejected } = await node.running.event('task', ({ accepted }) => accepted === false)
        assert.deepEqual([event, rejected['peerId']], ['task', foeId])
        // it may call those that it does not serve
        const other = await cli.start(foe, ['--protocol', join(world.folder, 'greet.mjs')])
        const back = await cli.json(String(node.ready['home']), ['call', other.address, GREET, '--data', '{"name":"Ada"}'])
        assert.deepEqual(back, { text: 'Hello, Ada!' })
        await Promise.all([node.stop(), other.stop()])
      }
    })

    it('have to be peers', async () => {
      const { exit, message } = jsonError(await cli.run(await cli.home({ denyPeers: ['bob'] }), ['id', '--json']))
      assert.equal(exit, 2)
      assert.match(message, /denyPeers/)
    })
  })

  describe('of a module for --protocol that', () => {
    for (const [what, module, message] of [
      ['is not there', 'missing.mjs', /^no such protocol: "missing\.mjs"/],
      ['is a folder', '.', /^no such protocol: "\."/],
      ['has no default export', 'none.mjs', /^protocol none\.mjs has no function as its default export/],
      ['exports a number', 'number.mjs', /^protocol number\.mjs has no function as its default export/],
      ['throws', 'throws.mjs', /^protocol throws\.mjs cannot be loaded: not in the mood/],
      ['is no JavaScript', 'syntax.mjs', /^protocol syntax\.mjs cannot be loaded: /],
      ['throws when it is given a node', 'refuses.mjs', /^protocol refuses\.mjs: no node is good enough/],
      ['constructs nothing', 'nothing.mjs', /^protocol nothing\.mjs constructs no protocol/],
      ['is a class that constructs nothing', 'class-nothing.mjs', /^protocol class-nothing\.mjs constructs no protocol/],
      ['has an id that is none', 'bad-id.mjs', /^protocol bad-id\.mjs: not a protocol id: "no id"/],
    ] as const) {
      it(`${what} do not start`, async () => {
        const outcome = await cli.run(await cli.home(), ['start', '--protocol', module, '--listen', '/ip4/127.0.0.1/tcp/0', '--json'], {
          cwd: world.folder,
        })
        const error = jsonError(outcome)
        assert.deepEqual([outcome.code, error.code, outcome.stderr], [2, 'USAGE', ''])
        assert.match(error.message, message)
      })
    }

    it('has an id that is taken do not start, and leave the home free', async () => {
      const home = await cli.home()
      const twice = ['--protocol', 'greet.mjs', '--protocol', 'greet.mjs', '--listen', '/ip4/127.0.0.1/tcp/0']
      const error = jsonError(await cli.run(home, ['start', ...twice, '--json'], { cwd: world.folder }))
      assert.deepEqual([error.exit, error.message], [2, `protocol greet.mjs: protocol ${GREET} is already registered`])
      const node = await cli.start(home, ['--protocol', 'greet.mjs'], { cwd: world.folder })
      assert.equal((await node.stop()).code, 0)
    })

    it('is named in config.json start with the node', async () => {
      const home = await cli.home({ protocol: [join(world.folder, 'greet.mjs')] })
      const node = await cli.start(home)
      const answer = await cli.json(await cli.home(), ['call', node.address, GREET, '--data', '{"name":"Ada"}'])
      assert.deepEqual(answer, { text: 'Hello, Ada!' })
    })
  })
})
