//! What this peer is made of: its key, its transport and its behaviours.

use std::{error::Error, time::Duration};

use libp2p::{
    StreamProtocol, Swarm, SwarmBuilder,
    core::upgrade::Version,
    gossipsub::{self, MessageAuthenticity},
    identify,
    identity::Keypair,
    kad::{self, store::MemoryStore},
    noise, ping, relay,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
    tcp, yamux,
};
use serde_json::Value;

use crate::{Failure, Told};

pub const KAD: StreamProtocol = StreamProtocol::new("/subnet/1/kad/1.0.0");
/// Of whatever this peer is part of, in identify.
const VERSION: &str = "/subnet/interop/1.0.0";

#[derive(NetworkBehaviour)]
pub struct Behaviour {
    pub identify: identify::Behaviour,
    pub ping: ping::Behaviour,
    pub kad: Toggle<kad::Behaviour<MemoryStore>>,
    pub gossipsub: Toggle<gossipsub::Behaviour>,
    pub stream: libp2p_stream::Behaviour,
    pub relay: Toggle<relay::Behaviour>,
    pub relayed: relay::client::Behaviour,
}

pub fn key_of(told: &Told) -> Result<Keypair, Failure> {
    match told.text("key") {
        "secp256k1" => Ok(Keypair::generate_secp256k1()),
        "ecdsa" => Ok(Keypair::generate_ecdsa()),
        // it makes none itself
        "rsa" => Keypair::rsa_from_pkcs8(&mut told.bytes("pkcs8")?).map_err(|error| Failure::new("DecodingError", error)),
        _ => Ok(Keypair::generate_ed25519()),
    }
}

fn behaviour(key: &Keypair, relayed: relay::client::Behaviour, told: &Told) -> Result<Behaviour, Box<dyn Error + Send + Sync>> {
    let me = key.public().to_peer_id();
    let kad = told.0["dht"].as_str().map(|mode| {
        let mut kad = kad::Behaviour::with_config(me, MemoryStore::new(me), kad::Config::new(KAD));
        // it would wait until an address of its own is confirmed, which loopback's never is
        kad.set_mode(Some(if mode == "client" { kad::Mode::Client } else { kad::Mode::Server }));
        kad
    });
    let gossipsub = match told.is("gossip") {
        true => Some(gossipsub::Behaviour::new(MessageAuthenticity::Signed(key.clone()), gossipsub::Config::default())?),
        false => None,
    };
    Ok(Behaviour {
        identify: identify::Behaviour::new(match told.is("signedRecord") {
            true => identify::Config::new_with_signed_peer_record(VERSION.into(), key),
            false => identify::Config::new(VERSION.into(), key.public()),
        }),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_secs(1))),
        kad: kad.into(),
        gossipsub: gossipsub.into(),
        stream: libp2p_stream::Behaviour::new(),
        relay: told.is("relay").then(|| relay::Behaviour::new(me, relay::Config::default())).into(),
        relayed,
    })
}

/// A swarm that listens: gives it, and on how many addresses that is to be.
pub fn make(key: &Keypair, told: &Told) -> Result<(Swarm<Behaviour>, usize), Box<dyn Error>> {
    let mut swarm = SwarmBuilder::with_existing_identity(key.clone())
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_quic()
        .with_dns()?
        .with_relay_client(noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key, relayed| behaviour(key, relayed, told))?
        .with_swarm_config(|config| {
            let config = config.with_idle_connection_timeout(Duration::from_secs(60));
            match told.is("lazy") {
                // the first bytes leave with the protocol's id, before the other side has agreed
                true => config.with_substream_upgrade_protocol_override(Version::V1Lazy),
                false => config,
            }
        })
        .build();
    let addresses = match told.0["listen"].as_array() {
        Some(list) => list.iter().filter_map(Value::as_str).collect(),
        None => vec!["/ip4/127.0.0.1/tcp/0"],
    };
    for address in &addresses {
        swarm.listen_on(address.parse()?)?;
    }
    Ok((swarm, addresses.len()))
}
