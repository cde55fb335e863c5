//! A peer on rust-libp2p that serves and calls /subnet/task_protocol/1.0.0, driven over stdin and stdout.
//!
//! Each line of stdin is a command: `{"id": 1, "do": "call", ...}`. Each line of stdout is an answer to one, `{"reply": 1, ...}` or
//! `{"reply": 1, "failed": "UnexpectedEof", "why": "..."}`, or an event, `{"event": "request", ...}`. It ends when stdin does. The first
//! argument, JSON, says what it is: `{"key": "ed25519", "tasks": true, "dht": "server", "gossip": true, "listen": ["/ip6/::1/tcp/0"]}`.
//!
//! It does what a user of the crates does: their defaults, libp2p-stream for raw streams, and a loop that takes streams one after the other.

mod messages;
mod peer;
mod swarm;
mod tasks;

use std::{env, error::Error, io};

use libp2p::PeerId;
use libp2p_stream::OpenStreamError;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    sync::mpsc,
};

/// Why a command could not be carried out.
pub struct Failure {
    /// The kind of the error.
    pub failed: String,
    pub why: String,
}

impl Failure {
    pub fn new(failed: impl Into<String>, why: impl ToString) -> Self {
        Self { failed: failed.into(), why: why.to_string() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(format!("{:?}", error.kind()), error)
    }
}

impl From<OpenStreamError> for Failure {
    fn from(error: OpenStreamError) -> Self {
        match error {
            OpenStreamError::UnsupportedProtocol(_) => Self::new("UnsupportedProtocol", error),
            OpenStreamError::Io(error) => error.into(),
            _ => Self::new("OpenStreamError", error),
        }
    }
}

pub type Reply = Result<Value, Failure>;

/// The fields of a command, or of the first argument.
pub struct Told(pub Value);

impl Told {
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    pub fn number(&self, field: &str) -> usize {
        self.0[field].as_u64().unwrap_or_default() as usize
    }

    pub fn is(&self, field: &str) -> bool {
        self.0[field] == true
    }

    /// Those of a field in hex.
    pub fn bytes(&self, field: &str) -> Result<Vec<u8>, Failure> {
        hex::decode(self.text(field)).map_err(|error| Failure::new("BadCommand", error))
    }

    pub fn peer(&self) -> Result<PeerId, Failure> {
        self.text("peer").parse().map_err(|error| Failure::new("BadCommand", error))
    }
}

/// Prints a line, whole: println! holds the lock of stdout for as long as it takes.
pub fn tell(line: Value) {
    println!("{line}");
}

pub fn reply(id: u64, answer: Reply) {
    let mut line = answer.unwrap_or_else(|Failure { failed, why }| json!({ "failed": failed, "why": why }));
    line["reply"] = json!(id);
    tell(line);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let told = Told(serde_json::from_str(&env::args().nth(1).unwrap_or("{}".into()))?);
    let (commands, received) = mpsc::unbounded_channel();
    let peer = tokio::spawn(peer::Peer::start(&told)?.run(received));
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        if commands.send(Told(serde_json::from_str(&line)?)).is_err() {
            // it has panicked: that says why
            peer.await?;
            break;
        }
    }
    // nobody is there any more: nothing to be polite about
    std::process::exit(0)
}
