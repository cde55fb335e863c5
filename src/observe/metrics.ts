/** What the values of an instrument are told apart by. Each value is one of few: no peer ID, no address, no text of a peer. */
export type Labels<Label extends string> = Readonly<Record<Label, string>>

/** What every instrument has. */
export interface InstrumentOptions<Label extends string> {
  /** One sentence on what is counted. */
  help: string
  /** The names of its labels. @default none */
  labels?: readonly Label[] | undefined
}

export interface HistogramOptions<Label extends string> extends InstrumentOptions<Label> {
  /** What is measured; the name of the instrument ends in it. */
  unit: 'seconds' | 'bytes'
  /** The upper bounds of the buckets, rising. */
  buckets: readonly number[]
}

/** A number that only grows. */
export interface Counter {
  /** @param by a positive number. @default 1 */
  add(by?: number): void
}

/** How often values lay within bounds, and their sum. */
export interface Histogram {
  /** Enters a value, in the histogram's unit. */
  record(value: number): void
}

/** The instruments of one name: one for each set of labels. A node keeps those that it uses for every call. */
export interface Labelled<Label extends string, Instrument> {
  /** The one with these labels. */
  with(labels: Labels<Label>): Instrument
}

/** One value of a gauge. */
export interface Measured<Label extends string> {
  value: number
  labels: Labels<Label>
}

/**
 * Where a node puts its numbers: a port for Prometheus, OpenTelemetry or a test. A node asks once for each instrument, when it is made; names are those
 * that Prometheus has, as `subnet_calls_total`. Nothing here may throw.
 */
export interface Metrics {
  /** Makes a counter. */
  counter<Label extends string>(name: string, options: InstrumentOptions<Label>): Labelled<Label, Counter>
  /** Makes a histogram. */
  histogram<Label extends string>(name: string, options: HistogramOptions<Label>): Labelled<Label, Histogram>
  /** A number that rises and falls. @param read gives its values when somebody looks; never called otherwise */
  gauge<Label extends string>(name: string, options: InstrumentOptions<Label>, read: () => Iterable<Measured<Label>>): void
}

/** Measures nothing. */
export const NO_METRICS: Metrics = {
  counter: () => ({ with: () => ({ add: () => undefined }) }),
  histogram: () => ({ with: () => ({ record: () => undefined }) }),
  gauge: () => undefined,
}
