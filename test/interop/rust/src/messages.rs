//! What travels: messages as proto/ has them, each behind its length as a varint.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::core::{PeerRecord, SignedEnvelope};
use prost::Message;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use unsigned_varint::{aio, encode, io::ReadError};

const MAX_FRAME_BYTES: usize = 64 * 1024 * 1024;

#[derive(Clone, PartialEq, Message)]
pub struct TaskRequest {
    #[prost(string, tag = "1")]
    pub task_id: String,
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TaskResponse {
    #[prost(bool, tag = "1")]
    pub accepted: bool,
    #[prost(bytes = "vec", tag = "2")]
    pub result: Vec<u8>,
    #[prost(string, tag = "3")]
    pub error: String,
}

/// The state is an enum there: on the wire the same as a number.
#[derive(Clone, PartialEq, Message)]
pub struct Heartbeat {
    #[prost(bytes = "vec", tag = "1")]
    pub signed_peer_record: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub subnet_id: u32,
    #[prost(uint32, tag = "3")]
    pub state: u32,
    #[prost(uint64, tag = "4")]
    pub sent_at_ms: u64,
    #[prost(uint32, tag = "5")]
    pub interval_ms: u32,
}

/// The fields of a heartbeat, or null where the bytes are none with a record that its author signed.
pub fn read_heartbeat(data: &[u8]) -> Value {
    let read = || {
        let beat = Heartbeat::decode(data).ok()?;
        let envelope = SignedEnvelope::from_protobuf_encoding(&beat.signed_peer_record).ok()?;
        let record = PeerRecord::from_signed_envelope_interop(envelope).ok()?;
        let addresses: Vec<String> = record.addresses().iter().map(ToString::to_string).collect();
        Some(json!({
            "peerId": record.peer_id().to_string(),
            "addresses": addresses,
            "subnetId": beat.subnet_id,
            "state": beat.state,
        }))
    };
    read().unwrap_or_default()
}

pub fn digest(bytes: &[u8]) -> Value {
    json!({ "bytes": bytes.len(), "sha256": hex::encode(Sha256::digest(bytes)) })
}

/// A message with its length before it.
pub fn frame(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let mut buffer = encode::usize_buffer();
    [encode::usize(body.len(), &mut buffer), &body].concat()
}

/// The one message of a frame, and nothing else. Errors: as `read_message`; `InvalidData` also where bytes are left.
pub async fn read_frame<M: Message + Default>(bytes: &[u8]) -> io::Result<M> {
    let mut rest = bytes;
    let message = read_message(&mut rest).await?;
    match rest.len() {
        0 => Ok(message),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "more than one message")),
    }
}

/// The next message. Errors: `UnexpectedEof` where the stream ends before its last byte, `InvalidData` where it is none.
pub async fn read_message<M: Message + Default>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<M> {
    let length = aio::read_usize(&mut *stream).await.map_err(|error| match error {
        ReadError::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    })?;
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too large"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    M::decode(body.as_slice()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Writes bytes; `bytewise` as if each were the last.
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8], bytewise: bool) -> io::Result<()> {
    let size = if bytewise { 1 } else { bytes.len().max(1) };
    for chunk in bytes.chunks(size) {
        stream.write_all(chunk).await?;
        stream.flush().await?;
    }
    Ok(())
}
