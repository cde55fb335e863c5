import assert from 'node:assert/strict'
import { PrometheusMetrics } from '../../../src/session/metrics/prometheus-metrics.ts'

describe('metrics of Prometheus', () => {
  const metrics = new PrometheusMetrics()

  it('count by labels, in one series for each set of them, and escape what labels hold', async () => {
    const counter = metrics.counter('subnet_a_total', { help: 'Of a', labels: ['one', 'two'] })
    counter.with({ one: 'x', two: 'y' }).add()
    counter.with({ two: 'y', one: 'x' }).add(2)
    counter.with({ one: 'a"b\\c\nd', two: '' }).add(4)
    const text = await metrics.text()
    assert.ok(text.includes('subnet_a_total{one="x",two="y"} 3\n'), text)
    assert.ok(text.includes('subnet_a_total{one="a\\"b\\\\c\\nd",two=""} 4\n'), text)
    assert.equal((await metrics.text()).match(/^subnet_a_total\{/gm)?.length, 2)
  })

  it('have histograms whose buckets count those below them too, with their sum', async () => {
    const histogram = metrics.histogram('subnet_b_seconds', { help: 'Of b', labels: ['one'], unit: 'seconds', buckets: [0.5, 1, 2] })
    for (const value of [0.25, 0.5, 1.5, 8]) {
      histogram.with({ one: 'x' }).record(value)
    }
    const text = await metrics.text()
    assert.match(text, /^# HELP subnet_b_seconds Of b\n# TYPE subnet_b_seconds histogram$/m)
    assert.deepEqual(
      text.split('\n').filter((line) => line.startsWith('subnet_b')),
      [
        'subnet_b_seconds_bucket{one="x",le="0.5"} 2',
        'subnet_b_seconds_bucket{one="x",le="1"} 2',
        'subnet_b_seconds_bucket{one="x",le="2"} 3',
        'subnet_b_seconds_bucket{one="x",le="+Inf"} 4',
        'subnet_b_seconds_sum{one="x"} 10.25',
        'subnet_b_seconds_count{one="x"} 4',
      ],
    )
  })

  it('read gauges when somebody looks, and forget what is not there any more', async () => {
    let values = [{ value: 1, labels: { one: 'x' } }]
    metrics.gauge('subnet_c', { help: 'Of c', labels: ['one'] }, () => values)
    assert.match(await metrics.text(), /^subnet_c\{one="x"\} 1$/m)
    values = []
    assert.doesNotMatch(await metrics.text(), /^subnet_c\{/m)
  })

  it('read counters when somebody looks', async () => {
    metrics.gauge('subnet_d_total', { help: 'Of d', onlyGrows: true }, () => [{ value: 3, labels: {} }])
    for (let times = 0; times < 2; times++) {
      assert.match(await metrics.text(), /^# TYPE subnet_d_total counter\nsubnet_d_total 3$/m)
    }
  })
})
