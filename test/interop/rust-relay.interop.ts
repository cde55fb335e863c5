import { testRelaysOf } from './relays.ts'
import { RustLab } from './rust-peer.ts'

describe('a relay, ours or one of Rust,', function () {
  this.timeout(60_000)
  testRelaysOf('Rust', new RustLab(), { seconds: 120, bytes: 128 << 10 })
})
