import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type {
  HistogramOptions,
  InstrumentOptions,
  Labelled,
  Measured,
  Metrics,
  Counter as OwnCounter,
  Histogram as OwnHistogram,
} from '../../observe/metrics.ts'

/** The numbers of one node, in the text format of Prometheus. */
export class PrometheusMetrics implements Metrics {
  readonly #registry = new Registry()

  counter<Label extends string>(name: string, { help, labels = [] }: InstrumentOptions<Label>): Labelled<Label, OwnCounter> {
    const counter = new Counter({ name, help, labelNames: [...labels], registers: [this.#registry] })
    return {
      with: (given) => {
        const one = counter.labels(given)
        return { add: (by = 1) => one.inc(by) }
      },
    }
  }

  histogram<Label extends string>(name: string, { help, labels = [], buckets }: HistogramOptions<Label>): Labelled<Label, OwnHistogram> {
    const histogram = new Histogram({ name, help, labelNames: [...labels], buckets: [...buckets], registers: [this.#registry] })
    return {
      with: (given) => {
        const one = histogram.labels(given)
        return { record: (value) => one.observe(value) }
      },
    }
  }

  gauge<Label extends string>(name: string, { help, labels = [] }: InstrumentOptions<Label>, read: () => Iterable<Measured<Label>>): void {
    new Gauge({
      name,
      help,
      labelNames: [...labels],
      registers: [this.#registry],
      collect() {
        this.reset()
        for (const measured of read()) {
          this.set(measured.labels, measured.value)
        }
      },
    })
  }

  async text(): Promise<string> {
    return this.#registry.metrics()
  }
}

/** The numbers of this process: processor time, memory, event loop delay, file descriptors. */
export class ProcessMetrics {
  readonly #registry = new Registry()
  readonly contentType = this.#registry.contentType

  constructor() {
    collectDefaultMetrics({ register: this.#registry })
  }

  async text(): Promise<string> {
    return this.#registry.metrics()
  }
}
