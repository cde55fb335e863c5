//! Tasks, served and called, over raw streams.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt, channel::oneshot, future::join_all};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::{Control, OpenStreamError};
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    Failure, Reply, Told,
    messages::{TaskRequest, TaskResponse, digest, frame, read_frame, read_message, write},
    tell,
};

pub const TASKS: StreamProtocol = StreamProtocol::new("/subnet/task_protocol/1.0.0");

/// What every serving and calling task of this peer shares.
#[derive(Clone)]
pub struct Tasks {
    control: Control,
    how: Arc<Mutex<(String, Vec<u8>)>>,
    /// Tells those that wait when it is told to serve otherwise.
    otherwise: Arc<Notify>,
    held: Arc<Mutex<HashMap<String, Stream>>>,
    /// How often each task came.
    seen: Arc<Mutex<HashMap<String, usize>>>,
    /// Second answers that wait until they are asked for.
    late: Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>,
}

fn gone(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {what}"))
}

impl Tasks {
    pub fn new(control: Control) -> Self {
        Self {
            control,
            how: Arc::new(Mutex::new(("echo".into(), vec![]))),
            otherwise: Arc::default(),
            held: Arc::default(),
            seen: Arc::default(),
            late: Arc::default(),
        }
    }

    /// Takes streams one after the other and serves each in a task of its own, as the documentation of libp2p-stream has it.
    pub fn serve(mut self) {
        let mut incoming = self.control.accept(TASKS).expect("nobody else serves tasks");
        tokio::spawn(async move {
            while let Some((_, stream)) = incoming.next().await {
                let tasks = self.clone();
                tokio::spawn(async move {
                    if let Err(error) = tasks.answer(stream).await {
                        tell(json!({ "event": "left", "why": format!("{:?}", error.kind()) }));
                    }
                });
            }
        });
    }

    pub fn set(&self, told: &Told) -> Reply {
        *self.how.lock().unwrap() = (told.text("how").into(), told.bytes("frame")?);
        self.otherwise.notify_waiters();
        Ok(json!({}))
    }

    /// Answers one stream as it was told. What returns without a close drops the stream: a reset, or an end where the other side has ended.
    async fn answer(&self, mut stream: Stream) -> io::Result<()> {
        let (how, garbage) = self.how.lock().unwrap().clone();
        match how.as_str() {
            "deaf" => {
                tell(json!({ "event": "stream" }));
                return std::future::pending().await;
            }
            "drop" => {
                tell(json!({ "event": "stream" }));
                return Ok(());
            }
            "early" => return self.answer_early(stream).await,
            _ => {}
        }
        let request = if how == "readAll" { read_to_end(&mut stream).await? } else { read_message(&mut stream).await? };
        self.took(&request);
        let TaskRequest { task_id, payload } = request;
        let echo = frame(&TaskResponse { accepted: true, result: payload, ..Default::default() });
        match how.as_str() {
            "reject" => {
                let answer = TaskResponse { error: "nicht heute, größer".into(), ..Default::default() };
                write(&mut stream, &frame(&answer), false).await?;
            }
            "fail" => {}
            "reset" => return Ok(()),
            "stall" => {
                // a caller that has left looks like one that has ended its request: only writing tells
                self.otherwise.notified().await;
                write(&mut stream, &echo, false).await?;
                return Err(io::ErrorKind::InvalidData.into());
            }
            "frame" => write(&mut stream, &garbage, false).await?,
            "two" => write(&mut stream, &echo.repeat(2), false).await?,
            "late" => {
                write(&mut stream, &echo, false).await?;
                let (sender, receiver) = oneshot::channel();
                self.late.lock().unwrap().insert(task_id, sender);
                let _ = receiver.await;
                write(&mut stream, &echo, false).await?;
            }
            "bytewise" => write(&mut stream, &echo, true).await?,
            _ => write(&mut stream, &echo, false).await?,
        }
        stream.close().await
    }

    fn took(&self, request: &TaskRequest) {
        *self.seen.lock().unwrap().entry(request.task_id.clone()).or_default() += 1;
        let mut event = digest(&request.payload);
        event["event"] = json!("request");
        event["taskId"] = json!(request.task_id);
        tell(event);
    }

    /// How often a task came.
    pub fn seen(&self, told: &Told) -> Reply {
        Ok(json!({ "times": self.seen.lock().unwrap().get(told.text("taskId")).copied().unwrap_or_default() }))
    }

    /// Answers at the first byte of the request, and reads the rest only then.
    async fn answer_early(&self, mut stream: Stream) -> io::Result<()> {
        let mut request = vec![0; 1];
        stream.read_exact(&mut request).await?;
        let answer = TaskResponse { accepted: true, result: b"early".into(), ..Default::default() };
        write(&mut stream, &frame(&answer), false).await?;
        stream.close().await?;
        stream.read_to_end(&mut request).await?;
        self.took(&read_frame(&request).await?);
        Ok(())
    }

    /// Has the second answer of a task follow, which is served "late".
    pub fn late(&self, told: &Told) -> Reply {
        let sender = self.late.lock().unwrap().remove(told.text("taskId")).ok_or_else(|| gone("answer"))?;
        let _ = sender.send(());
        Ok(json!({}))
    }

    async fn open(&self, peer: PeerId) -> Result<Stream, OpenStreamError> {
        self.control.clone().open_stream(peer, TASKS).await
    }

    /// One call. `halfClose`: its side is closed before the answer is read, else only afterwards. `bytewise`: the request leaves byte by byte.
    /// Reads to the end of the stream, so that it is told whether the other side closes its own.
    pub async fn call(&self, told: &Told) -> Reply {
        let payload: Vec<u8> = (0..told.number("size")).map(|index| (index * 31 + index / 251) as u8).collect();
        let sent = digest(&payload);
        let request = frame(&TaskRequest { task_id: told.text("taskId").into(), payload });
        let mut stream = self.open(told.peer()?).await?;
        write(&mut stream, &request, told.is("bytewise")).await?;
        if told.is("halfClose") {
            stream.close().await?;
        }
        let answer = answer_of(&mut stream).await?;
        Ok(json!({ "sent": sent, "accepted": answer.accepted, "error": answer.error, "result": digest(&answer.result) }))
    }

    /// As many calls at once as it is told: how many were accepted with what was sent, and why others failed.
    pub async fn many(&self, told: &Told) -> Reply {
        let calls = (0..told.number("count")).map(|index| {
            let fields = json!({ "peer": told.text("peer"), "taskId": format!("{index} at once"), "size": index, "halfClose": told.is("halfClose") });
            async move { self.call(&Told(fields)).await }
        });
        let mut accepted = 0;
        let mut failures: HashMap<String, usize> = HashMap::new();
        for answer in join_all(calls).await {
            match answer {
                Ok(answer) if answer["accepted"] == true && answer["sent"] == answer["result"] => accepted += 1,
                Ok(answer) => *failures.entry(answer["error"].to_string()).or_default() += 1,
                Err(Failure { why, .. }) => *failures.entry(why).or_default() += 1,
            }
        }
        Ok(json!({ "accepted": accepted, "failures": failures }))
    }

    /// Sends these bytes, and the end of its side if told so, and holds the stream.
    pub async fn ask(&self, told: &Told) -> Reply {
        let mut stream = self.open(told.peer()?).await?;
        let request = frame(&TaskRequest { task_id: told.text("taskId").into(), payload: vec![] });
        let bytes = told.bytes("frame")?;
        write(&mut stream, if bytes.is_empty() { &request } else { &bytes }, false).await?;
        if told.is("halfClose") {
            stream.close().await?;
        }
        self.held.lock().unwrap().insert(told.text("taskId").into(), stream);
        Ok(json!({}))
    }

    fn take(&self, told: &Told) -> io::Result<Stream> {
        self.held.lock().unwrap().remove(told.text("taskId")).ok_or_else(|| gone("stream"))
    }

    /// Sends these bytes, and then the end of its side, on a stream that it holds.
    pub async fn more(&self, told: &Told) -> Reply {
        let mut stream = self.take(told)?;
        write(&mut stream, &told.bytes("frame")?, false).await?;
        stream.close().await?;
        self.held.lock().unwrap().insert(told.text("taskId").into(), stream);
        Ok(json!({}))
    }

    /// The answer on a stream that it holds.
    pub async fn answered(&self, told: &Told) -> Reply {
        let answer = answer_of(&mut self.take(told)?).await?;
        Ok(json!({ "accepted": answer.accepted, "error": answer.error }))
    }

    pub fn reset(&self, told: &Told) -> Reply {
        drop(self.take(told)?);
        Ok(json!({}))
    }
}

async fn read_to_end(stream: &mut Stream) -> io::Result<TaskRequest> {
    let mut bytes = vec![];
    stream.read_to_end(&mut bytes).await?;
    read_frame(&bytes).await
}

/// The answer, and nothing after it: closes its own side, and waits for the other to have closed its own.
async fn answer_of(stream: &mut Stream) -> io::Result<TaskResponse> {
    let answer = read_message(stream).await?;
    stream.close().await?;
    match stream.read(&mut [0]).await? {
        0 => Ok(answer),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "more than one message")),
    }
}
