import assert from 'node:assert/strict'
import { logFilter, parseLogRule } from '../../../src/observe/log-filter.ts'
import { jsonLine, lineOf, longLine } from '../../../src/observe/log-format.ts'
import { createLogger, type Logger, type LoggerOptions } from '../../../src/observe/logger.ts'

const NOW_MS = Date.UTC(2026, 10, 29, 15)
const TIME = '2026-11-29T15:00:00.000Z'

describe('a log filter', () => {
  it('gives a scope its own rule, then the rule for all, then the level', () => {
    const { call, dial, gossip } = logFilter('error', ['call:trace', '*:info', 'subnet:dial:debug'])
    assert.deepEqual({ call, dial, gossip }, { call: 'trace', dial: 'debug', gossip: 'info' })
    assert.equal(logFilter('error', ['call:trace']).gossip, 'error')
  })

  it('takes the last of two rules for one scope', () => {
    assert.equal(logFilter('warn', ['call:trace', 'call:silent']).call, 'silent')
  })

  it('lets the level count more than a rule for all, where that is wanted', () => {
    const { call, dial } = logFilter('debug', ['*:error', 'call:info'], { levelFirst: true })
    assert.deepEqual({ call, dial }, { call: 'info', dial: 'debug' })
  })

  for (const text of ['', 'call', 'call:', ':debug', 'calls:debug', 'call:loud', 'subnet:debug', '*']) {
    it(`refuses ${JSON.stringify(text)} as a rule`, () => {
      assert.throws(() => parseLogRule(text), /^Error: SCOPE:LEVEL, with a scope of \*, node, call, .* and a level of silent, /)
    })
  }
})

describe('a logger', () => {
  let lines: string[]

  beforeEach(() => {
    lines = []
  })

  function logger(level: Parameters<typeof createLogger>[0], line?: LoggerOptions['line']): Logger {
    return createLogger(level, (text) => lines.push(text), { now: () => NOW_MS, ...(line == null ? {} : { line }) })
  }

  function onlyJson(): Record<string, unknown> {
    assert.deepEqual([lines.length, lines[0]?.indexOf('\n')], [1, (lines[0]?.length ?? 0) - 1])
    return JSON.parse(lines[0] ?? '')
  }

  it('writes what the filter lets its scope say', () => {
    const log = logger(logFilter('warn', ['call:debug', 'dial:silent']))
    log.scoped('call').debug('a call')
    log.scoped('dial').error('a dial')
    log.scoped('gossip').info('a beat')
    log.scoped('dial').scoped('gossip').warn('no beat')
    assert.deepEqual(lines, ['debug: a call\n', 'warn: no beat\n'])
  })

  it('writes short lines at a terminal', () => {
    logger('warn').warn('not written', new Error('the disk is full'), { peer: 'bob' })
    assert.deepEqual(lines, ['warn: not written: the disk is full\n'])
  })

  it('writes time, scope and fields in long lines', () => {
    const fields = { peer: { toString: () => 'bob' }, call: 7, told: 'two words', none: undefined, quoted: '"', fine: true }
    logger('debug', longLine).scoped('call').debug('a task was rejected', 'no handler', fields)
    assert.deepEqual(lines, [
      `${TIME} debug subnet:call: a task was rejected: no handler peer=bob call=7 told="two words" quoted="\\"" fine=true\n`,
    ])
  })

  it('writes an object a line as JSON, whose own keys no field replaces', () => {
    logger('info', jsonLine)
      .scoped('dial')
      .info('dialled', new Error('too late'), { peer: 'bob', ms: 12, level: 'x', reason: 'y', time: 'z' })
    assert.deepEqual(onlyJson(), {
      ...{ time: TIME, level: 'info', scope: 'subnet:dial', message: 'dialled', reason: 'too late' },
      ...{ peer: 'bob', ms: 12 },
    })
  })

  it('takes long lines where anybody asked for more than warnings', () => {
    assert.notEqual(lineOf('text', logFilter('warn')), longLine)
    assert.equal(lineOf('text', logFilter('info')), longLine)
    assert.equal(lineOf('text', logFilter('warn', ['dial:debug'])), longLine)
    assert.equal(lineOf('json', logFilter('warn')), jsonLine)
  })

  for (const line of [longLine, jsonLine]) {
    it(`bounds what peers say, and makes it harmless: ${line.name}`, () => {
      const told = `\u001b[31mred\nwarn: forged\u202e\u0085${'x'.repeat(10_000)}`
      logger('debug', line).debug(told, new Error(told), { agent: told })
      const [text = ''] = lines
      assert.equal(text.split('\n').length, 2)
      assert.ok(text.length < 9_000, `${text.length} characters`)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
      assert.doesNotMatch(text.trimEnd(), /[\u0000-\u001f\u007f-\u009f\u202e]/)
    })
  }

  it('makes no text of what nobody hears', () => {
    const fields = { peer: { toString: () => assert.fail('was made a text') } }
    logger('info').debug('a call', fields.peer, fields)
    assert.deepEqual(lines, [])
  })
})
