import { testQuicOf } from './quic.ts'
import { RustLab } from './rust-peer.ts'

// one after the other: a stream that rust-libp2p drops, as of too many at once, ends over QUIC as if its handler had ended it
testQuicOf('Rust', new RustLab(), 1)
