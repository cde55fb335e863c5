import assert from 'node:assert/strict'
import { type NodeFacts, statusProblems } from '../../../src/session/status-problems.ts'

const WELL: NodeFacts = {
  settings: { bootstrap: ['a bootstrap'] },
  addresses: 1,
  connections: 1,
  bootstrapRefusals: [],
  chain: [],
  publishing: undefined,
  ownRefusal: undefined,
  full: undefined,
  clock: undefined,
  book: undefined,
}

describe('the problems of a node', () => {
  for (const [what, facts, expected] of [
    ['nothing', {}, []],
    ['no address', { addresses: 0 }, ['UNREACHABLE error']],
    ['no connection though it has bootstraps', { connections: 0 }, ['UNREACHABLE error']],
    ['no connection, as bootstraps refuse it', { connections: 0, bootstrapRefusals: ['no'] }, ['NOT_ADMITTED error']],
    ['a chain that is away', { chain: ['away'] }, ['CHAIN_UNAVAILABLE error']],
    ['a book that cannot be written', { book: { code: 'USAGE', message: 'the disk is full', hint: 'make room' } }, ['USAGE error']],
    ['addresses that are not published', { publishing: { code: 'USAGE', severity: 'error', message: 'no' } }, ['USAGE error']],
    [
      'addresses that are published later',
      { publishing: { code: 'LIMIT_EXCEEDED', severity: 'warning', message: 'later' } },
      ['LIMIT_EXCEEDED warning'],
    ],
    ['a registration that is missing', { ownRefusal: 'not registered' }, ['NOT_ADMITTED error']],
    ['newcomers that were turned away', { full: 'full' }, ['LIMIT_EXCEEDED error']],
    ['a clock that is off', { clock: 'off' }, ['CLOCK_OFF warning']],
  ] as const) {
    it(`with ${what} are ${expected.join(', ') || 'none'}`, () => {
      const problems = statusProblems({ ...WELL, ...facts } as NodeFacts)
      assert.deepEqual(
        problems.map(({ code, severity }) => `${code} ${severity}`),
        expected,
      )
    })
  }
})
