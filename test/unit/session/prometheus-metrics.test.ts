import assert from 'node:assert/strict'
import type { Metrics, Stream } from '@libp2p/interface'
import { silentLogger } from '../../../src/node/stack/silent-logger.ts'
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

  it('have those of libp2p, but no address of a listener, and no number of streams that are gone', async () => {
    const libp2p = metrics.stack.libp2p.metrics?.({ logger: silentLogger } as never) as Metrics
    let streams: Record<string, number> = { 'inbound /a': 2 }
    libp2p.registerMetricGroup('libp2p_streams', { label: 'protocol', calculate: () => streams })
    libp2p.registerCounterGroup('libp2p_dials_total', { help: 'Of dials' }).increment({ inbound: true })
    libp2p.registerMetricGroup('libp2p_sockets', { label: 'address', calculate: () => ({ '192.0.2.1:38960': 1 }) })
    libp2p.registerMetricGroup('libp2p_events', { label: 'address' }).increment({ '192.0.2.1:38960 drop': true })
    const text = await metrics.text()
    assert.ok(text.includes('libp2p_streams{protocol="inbound /a"} 2\n'), text)
    assert.ok(text.includes('libp2p_dials_total{libp2p_dials_total="inbound"} 1\n'), text)
    assert.doesNotMatch(text, /192\.0\.2\.1|^nodejs_|^libp2p_data_transfer/m)
    streams = { 'inbound /b': 1 }
    assert.deepEqual((await metrics.text()).match(/^libp2p_streams\{.*$/gm), ['libp2p_streams{protocol="inbound /b"} 1'])
  })

  it('leave the streams of libp2p alone: they are not wrapped for each message', () => {
    const libp2p = metrics.stack.libp2p.metrics?.({ logger: silentLogger } as never) as Metrics
    const stream = Object.freeze({ protocol: '/a', send: () => true, dispatchEvent: () => true }) as unknown as Stream
    libp2p.trackProtocolStream(stream)
    libp2p.trackMultiaddrConnection(stream as never)
  })

  it('have those of gossipsub, and the average, the least and the most of many', async () => {
    const { metricsRegister: register, metricsTopicStrToLabel: topics } = metrics.stack.gossipsub(['/t'])
    assert.deepEqual(topics, new Map([['/t', '/t']]))
    const size = register?.gauge({ name: 'gossipsub_size', help: 'Of a cache' })
    size?.addCollect((gauge) => gauge.set(5))
    register?.gauge<{ topic: string }>({ name: 'gossipsub_sent', help: 'Of t', labelNames: ['topic'] }).inc({ topic: '/t' }, 2)
    register?.histogram({ name: 'gossipsub_seconds', help: 'Of a beat', buckets: [1] }).observe(0.5)
    const score = register?.avgMinMax({ name: 'gossipsub_score', help: 'Of peers' })
    score?.set([1, 2, 6])
    const text = await metrics.text()
    for (const line of ['size 5', 'sent{topic="/t"} 2', 'seconds_bucket{le="1"} 1', 'score_avg 3', 'score_min 1', 'score_max 6']) {
      assert.ok(text.includes(`\ngossipsub_${line}\n`), `${line} in ${text}`)
    }
    score?.set([])
    assert.match(await metrics.text(), /^gossipsub_score_avg 0$/m)
  })
})
