//! What this peer does beside tasks: connections, identify, ping, Kademlia and gossipsub.

use std::{
    collections::HashMap,
    error::Error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::PeerRecord,
    gossipsub::{self, IdentTopic},
    identify,
    identity::Keypair,
    kad::{self, GetClosestPeersError, GetClosestPeersOk, GetClosestPeersResult, QueryId, QueryResult},
    multiaddr::Protocol,
    ping, relay,
    swarm::{ConnectionId, SwarmEvent, dial_opts::DialOpts},
};
use prost::Message;
use serde_json::{Value, json};
use tokio::{sync::mpsc::UnboundedReceiver, time};

use crate::{
    Failure, Reply, Told,
    messages::{Heartbeat, read_heartbeat},
    reply,
    swarm::{self, Behaviour, BehaviourEvent, KAD},
    tasks::Tasks,
    tell,
};

/// Every version, as it was built.
const LOCK: &str = include_str!("../Cargo.lock");

/// Gives what a command waits for, once it is there.
type Look = Box<dyn Fn(&Peer) -> Option<Value> + Send>;

pub struct Peer {
    key: Keypair,
    swarm: Swarm<Behaviour>,
    tasks: Tasks,
    /// How many addresses it is to listen on.
    listeners: usize,
    identified: HashMap<PeerId, identify::Info>,
    pings: HashMap<PeerId, Duration>,
    /// By the relay, its limits.
    places: HashMap<PeerId, Value>,
    dialling: HashMap<ConnectionId, u64>,
    finding: HashMap<QueryId, (u64, PeerId)>,
    looking: Vec<(u64, Look)>,
}

fn version(of: &str) -> &'static str {
    let found = LOCK.split("[[package]]").find_map(|package| package.trim().strip_prefix(&format!("name = \"{of}\"\nversion = \"")));
    found.and_then(|rest| rest.split('"').next()).unwrap_or("?")
}

fn strings(list: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    list.into_iter().map(|item| item.to_string()).collect()
}

impl Peer {
    pub fn start(told: &Told) -> Result<Self, Box<dyn Error>> {
        let key = swarm::key_of(told).map_err(|failure| failure.why)?;
        let (swarm, listeners) = swarm::make(&key, told)?;
        let tasks = Tasks::new(swarm.behaviour().stream.new_control());
        if told.is("tasks") {
            tasks.clone().serve();
        }
        Ok(Self {
            key,
            swarm,
            tasks,
            listeners,
            identified: HashMap::new(),
            pings: HashMap::new(),
            places: HashMap::new(),
            dialling: HashMap::new(),
            finding: HashMap::new(),
            looking: vec![],
        })
    }

    pub async fn run(mut self, mut commands: UnboundedReceiver<Told>) {
        let mut ticks = time::interval(Duration::from_millis(50));
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(told) = commands.recv() => self.obey(told),
                // no event tells who is in the mesh
                _ = ticks.tick() => {}
            }
            self.look();
        }
    }

    fn addresses(&self) -> Vec<String> {
        let me = *self.swarm.local_peer_id();
        self.swarm.listeners().map(|address| address.clone().with(Protocol::P2p(me)).to_string()).collect()
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { address, .. } if address.iter().any(|part| part == Protocol::P2pCircuit) => {}
            SwarmEvent::NewListenAddr { .. } if self.swarm.listeners().count() == self.listeners => {
                // a relay tells those that it knows to be good, and a place without one is none
                for address in self.swarm.listeners().cloned().collect::<Vec<_>>() {
                    self.swarm.add_external_address(address);
                }
                let me = self.swarm.local_peer_id().to_string();
                tell(json!({ "event": "ready", "peerId": me, "addresses": self.addresses(), "libp2p": version("libp2p") }));
            }
            SwarmEvent::ConnectionEstablished { connection_id, .. } => self.dialled(connection_id, Ok(json!({}))),
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                let kind = format!("{error:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned();
                self.dialled(connection_id, Err(Failure::new(kind, error)));
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.identified.remove(&peer_id);
                self.pings.remove(&peer_id);
            }
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                // the DHT is told of nobody by itself
                if let Some(kad) = self.swarm.behaviour_mut().kad.as_mut().filter(|_| info.protocols.contains(&KAD)) {
                    for address in &info.listen_addrs {
                        kad.add_address(&peer_id, address.clone());
                    }
                }
                self.identified.insert(peer_id, info);
            }
            BehaviourEvent::Relayed(relay::client::Event::ReservationReqAccepted { relay_peer_id, limit, .. }) => {
                let limits = json!({
                    "seconds": limit.and_then(|limit| limit.duration()).map(|time| time.as_secs()),
                    "bytes": limit.and_then(|limit| limit.data_in_bytes()),
                });
                self.places.insert(relay_peer_id, limits);
            }
            BehaviourEvent::Ping(ping::Event { peer, result: Ok(time), .. }) => {
                self.pings.insert(peer, time);
            }
            BehaviourEvent::Kad(kad::Event::OutboundQueryProgressed { id, result: QueryResult::GetClosestPeers(result), .. }) => {
                self.found(id, result);
            }
            BehaviourEvent::Gossipsub(gossipsub::Event::Message { propagation_source, message, .. }) => tell(json!({
                "event": "message",
                "from": message.source.map(|source| source.to_string()),
                "by": propagation_source.to_string(),
                "data": hex::encode(&message.data),
                "heartbeat": read_heartbeat(&message.data),
            })),
            _ => {}
        }
    }

    fn dialled(&mut self, connection: ConnectionId, answer: Reply) {
        if let Some(id) = self.dialling.remove(&connection) {
            reply(id, answer);
        }
    }

    fn found(&mut self, query: QueryId, result: GetClosestPeersResult) {
        let Some((id, peer)) = self.finding.remove(&query) else { return };
        let peers = match result {
            Ok(GetClosestPeersOk { peers, .. }) | Err(GetClosestPeersError::Timeout { peers, .. }) => peers,
        };
        let addresses = peers.into_iter().find(|found| found.peer_id == peer).map(|found| strings(found.addrs));
        reply(id, Ok(json!({ "addresses": addresses.unwrap_or_default() })));
    }

    fn look(&mut self) {
        for (id, look) in std::mem::take(&mut self.looking) {
            match look(self) {
                Some(answer) => reply(id, Ok(answer)),
                None => self.looking.push((id, look)),
            }
        }
    }

    fn obey(&mut self, told: Told) {
        let id = told.number("id") as u64;
        let answer = match told.text("do") {
            "dial" => self.dial(id, &told),
            "find" => self.find(id, &told),
            "reserve" => self.reserve(id, &told),
            "identify" => told.peer().map(|peer| self.until(id, move |me| me.identified.get(&peer).map(describe))),
            "ping" => told.peer().map(|peer| self.until(id, move |me| Some(json!({ "ms": me.pings.get(&peer)?.as_secs_f64() * 1000.0 })))),
            "mesh" => self.mesh(id, &told),
            now => {
                let answer = match now {
                    "serve" => self.tasks.set(&told),
                    "seen" => self.tasks.seen(&told),
                    "late" => self.tasks.late(&told),
                    "reset" => self.tasks.reset(&told),
                    "leave" => self.leave(&told),
                    "subscribe" => self.subscribe(&told),
                    "publish" => told.bytes("data").and_then(|data| self.publish(&told, data)),
                    "beat" => self.beat(&told),
                    _ => return self.do_task(id, told),
                };
                return reply(id, answer);
            }
        };
        if answer.is_err() {
            reply(id, answer.map(|()| Value::Null));
        }
    }

    /// What needs no more than a stream goes on by itself.
    fn do_task(&self, id: u64, told: Told) {
        let tasks = self.tasks.clone();
        tokio::spawn(async move {
            let answer = match told.text("do") {
                "call" => tasks.call(&told).await,
                "many" => tasks.many(&told).await,
                "ask" => tasks.ask(&told).await,
                "more" => tasks.more(&told).await,
                "answer" => tasks.answered(&told).await,
                other => Err(Failure::new("BadCommand", other)),
            };
            reply(id, answer);
        });
    }

    /// Replies as soon as there is something to say.
    fn until(&mut self, id: u64, look: impl Fn(&Self) -> Option<Value> + Send + 'static) {
        self.looking.push((id, Box::new(look)));
    }

    fn dial(&mut self, id: u64, told: &Told) -> Result<(), Failure> {
        let address: Multiaddr = told.text("address").parse().map_err(|error| Failure::new("BadCommand", error))?;
        let dial = DialOpts::from(address);
        self.dialling.insert(dial.connection_id(), id);
        self.swarm.dial(dial).map_err(|error| Failure::new("DialError", error))
    }

    /// Keeps a place with a relay: replies once it is given, with its limits.
    fn reserve(&mut self, id: u64, told: &Told) -> Result<(), Failure> {
        let relay: Multiaddr = told.text("address").parse().map_err(|error| Failure::new("BadCommand", error))?;
        let Some(Protocol::P2p(peer)) = relay.iter().last() else { return Err(Failure::new("BadCommand", "no peer ID")) };
        self.swarm.listen_on(relay.with(Protocol::P2pCircuit)).map_err(|error| Failure::new("ListenError", error))?;
        self.until(id, move |me| me.places.get(&peer).cloned());
        Ok(())
    }

    fn leave(&mut self, told: &Told) -> Reply {
        self.swarm.disconnect_peer_id(told.peer()?).map_err(|()| Failure::new("NotConnected", "not connected"))?;
        Ok(json!({}))
    }

    fn find(&mut self, id: u64, told: &Told) -> Result<(), Failure> {
        let peer = told.peer()?;
        let kad = self.swarm.behaviour_mut().kad.as_mut().ok_or_else(|| Failure::new("NoDht", "it has none"))?;
        self.finding.insert(kad.get_closest_peers(peer), (id, peer));
        Ok(())
    }

    fn gossipsub(&mut self) -> Result<&mut gossipsub::Behaviour, Failure> {
        self.swarm.behaviour_mut().gossipsub.as_mut().ok_or_else(|| Failure::new("NoGossip", "it has none"))
    }

    fn subscribe(&mut self, told: &Told) -> Reply {
        let topic = IdentTopic::new(told.text("topic"));
        self.gossipsub()?.subscribe(&topic).map_err(|error| Failure::new("SubscriptionError", error))?;
        Ok(json!({}))
    }

    /// Waits until the other has subscribed and is in the mesh.
    fn mesh(&mut self, id: u64, told: &Told) -> Result<(), Failure> {
        let (peer, topic) = (told.peer()?, IdentTopic::new(told.text("topic")).hash());
        self.gossipsub()?;
        self.until(id, move |me| {
            let gossipsub = me.swarm.behaviour().gossipsub.as_ref()?;
            gossipsub.mesh_peers(&topic).find(|member| **member == peer)?;
            let (_, kind) = gossipsub.peer_protocol().find(|(known, _)| **known == peer)?;
            Some(json!({ "protocol": kind.to_string() }))
        });
        Ok(())
    }

    fn publish(&mut self, told: &Told, data: Vec<u8>) -> Reply {
        let topic = IdentTopic::new(told.text("topic"));
        self.gossipsub()?.publish(topic, data).map_err(|error| Failure::new("PublishError", error))?;
        Ok(json!({}))
    }

    /// A heartbeat of this peer, as proto/subnet/gossip/v1/heartbeat.proto has it.
    fn beat(&mut self, told: &Told) -> Reply {
        let addresses = self.swarm.listeners().cloned().collect();
        let record = PeerRecord::new_interop(&self.key, addresses).map_err(|error| Failure::new("SigningError", error))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let beat = Heartbeat {
            signed_peer_record: record.into_signed_envelope().into_protobuf_encoding(),
            subnet_id: told.number("subnetId") as u32,
            state: told.number("state") as u32,
            sent_at_ms: now.as_millis() as u64,
            interval_ms: told.number("intervalMs") as u32,
        };
        self.publish(told, beat.encode_to_vec())
    }
}

fn describe(info: &identify::Info) -> Value {
    json!({
        "agent": info.agent_version,
        "protocols": strings(&info.protocols),
        "addresses": strings(&info.listen_addrs),
    })
}
