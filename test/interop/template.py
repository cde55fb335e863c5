"""
A peer as peer.py has it that is a node of Hypertensor's Python template, for all that a network sees of one.

It offers one security protocol, /pos-transport/1.0.0: Noise, and then a look at the chain, which closes the connection of a peer that is not registered. Its only
gossip protocol is /meshsub/2.0.0, its DHT /ipfs/kad/1.0.0. It asks everybody for their DAG (dag_sync.py) before it tells its state (dag.py) on peer_state.

The first argument, JSON, has what peer.py knows, and:
    "bootnode": true        it asks nobody for a DAG, and tells no state
    "bootstrap": [ADDRESS]  it connects to them first
    "allow": [PEER_ID]      who is registered; everybody, where it is missing
    "extensions": true      its first message of gossip has an extensions message of 1.3
    "publishMs": 20000      between two states
    "state": 1              in what it tells: 0 offline, 1 joining, 2 online
    "sync": {"minPeers": 2, "waitMs": 180000, "settleMs": 10000, "pollMs": 1000}, or false: it tells its state at once
"""

import hashlib
import json
import secrets
import time

from peer import Peer, main, tell

import trio

from libp2p.crypto.x25519 import create_new_key_pair
from libp2p.kad_dht.common import PROTOCOL_ID as KADEMLIA
from libp2p.peer.id import ID
from libp2p.pubsub.extensions import PeerExtensions
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V20, GossipSub
from libp2p.security.exceptions import HandshakeFailure
from libp2p.security.noise.transport import Transport as Noise

from dag import NAMESPACE, Dag, canonical, now_ms, require
from dag_sync import DagSync, read

SECURITY = "/pos-transport/1.0.0"
TOPIC = "peer_state"
SYNC = {"minPeers": 2, "waitMs": 180_000, "settleMs": 10_000, "pollMs": 1_000}
LOOK_S = 0.05


class NotRegistered(HandshakeFailure):
    """The chain does not know this peer."""


class ChainChecked:
    """Noise, and then the question whether the chain knows the peer."""

    def __init__(self, key_pair, allowed):
        self.noise = Noise(key_pair, noise_privkey=create_new_key_pair().private_key)
        #: peer IDs, or None for everybody
        self.allowed = allowed
        #: connections that came, whatever became of them: the seconds when each came, of a clock that is never set
        self.came_at = []

    async def secure_inbound(self, conn):
        self.came_at.append(time.monotonic())
        return self.admitted(await self.noise.secure_inbound(conn), "inbound")

    async def secure_outbound(self, conn, peer_id):
        return self.admitted(await self.noise.secure_outbound(conn, peer_id), "outbound")

    def admitted(self, secured, direction):
        peer_id = str(secured.get_remote_peer())
        admitted = self.allowed is None or peer_id in self.allowed
        tell(event="checked", peerId=peer_id, direction=direction, admitted=admitted)
        if not admitted:
            raise NotRegistered(peer_id)
        return secured


class Template(Peer):
    def __init__(self, nursery, init):
        self.init = init
        self.pinned = {}
        super().__init__(nursery, {"tasks": True, **init, "dht": "SERVER", "gossip": True})
        self.dag = Dag(self.key_pair)
        self.sync = DagSync(self.host, self.dag, tell, self.dht, self.known)

    def security(self):
        self.chain = ChainChecked(self.key_pair, self.init.get("allow"))
        return {SECURITY: self.chain}

    def router(self):
        extensions = PeerExtensions(topic_observation=True) if self.init.get("extensions") else None
        times = {"heartbeat_initial_delay": 0.5, "heartbeat_interval": 2, "gossip_window": 2, "gossip_history": 5}
        return GossipSub([PROTOCOL_ID_V20], 7, 5, 10, time_to_live=60, my_extensions=extensions, **times)

    async def began(self):
        for address in self.init.get("bootstrap", []):
            await self.do_dial(address)
        self.nursery.start_soon(self.fill_table)
        self.nursery.start_soon(self.hear, await self.pubsub.subscribe(TOPIC))
        if not self.init.get("bootnode"):
            if sync := self.init.get("sync", SYNC):
                sync = {**SYNC, **sync}
                await self.sync.start(sync["minPeers"], *(sync[name] / 1000 for name in ("waitMs", "settleMs", "pollMs")))
            while True:
                await self.do_state()
                await trio.sleep(self.init.get("publishMs", 20_000) / 1000)

    def known(self):
        """Those that are connected, then those that can be reached otherwise."""
        store = self.host.get_peerstore()
        connected = [*self.host.get_connected_peers(), *self.pubsub.peers, *self.pubsub.router.peer_protocol]
        others = [*store.peers_with_addrs(), *self.dht.routing_table.get_peer_ids()]
        names = dict.fromkeys(str(peer) for peer in [*sorted(connected, key=str), *sorted(others, key=str)])
        return [name for name in names if name != self.dag.peer_id]

    async def fill_table(self):
        """Takes those into its DHT that said in identify that they serve it; the template does with the walks that it makes each minute."""
        store = self.host.get_peerstore()
        while True:
            for peer_id in self.host.get_connected_peers():
                if peer_id not in self.dht.routing_table.get_peer_ids() and store.supports_protocols(peer_id, [KADEMLIA]):
                    await self.dht.add_peer(peer_id)
            await trio.sleep(LOOK_S)

    # gossip

    async def hear(self, messages):
        async for message in messages:
            author = str(ID(message.from_id))
            if author != self.dag.peer_id:
                try:
                    await self.heard(author, read(message.data, "node_gossip", "announcement"))
                except Exception as error:
                    tell(event="unheard", peerId=author, why=f"{type(error).__name__}: {error}")

    async def heard(self, author, message):
        require(message["peer_id"] == author, "a message of another peer")
        require(message["namespace"] == NAMESPACE, "a message of another namespace")
        if message["kind"] == "announcement":
            tell(event="announced", peerId=author, heads=message["head_ids"])
            if set(message["head_ids"]) - self.dag.nodes.keys() or message["node_count"] > len(self.dag.nodes):
                await self.sync.compare(author)
            return
        header, body = message["node"]["header"], message["node"]["body"]
        require(header["author"] == author, "a node of another peer")
        if self.dag.take(message["node"]):
            tell(event="state", peerId=author, **{name: body["payload"][name] for name in ("multiaddr", "state")})
        if self.dag.missing and await self.sync.fetch_from_anyone(author):
            await self.do_announce()

    async def do_state(self):
        """Tells its state, unless nodes of the DAG are missing."""
        if self.dag.waiting:
            return
        payload = {
            "epoch": now_ms() // 120_000,
            "multiaddr": str(self.host.get_transport_addrs()[0]),
            "role": 0,
            "state": self.init.get("state", 1),
            "subnet_id": 1,
            "subnet_node_id": 1,
            "uid": secrets.token_hex(16),
        }
        node = self.dag.make(payload)
        self.dag.take(node)
        message_id = f"node-gossip:{self.dag.peer_id}:{node['header']['node_id']}:{now_ms()}"
        await self.pubsub.publish(TOPIC, canonical(self.sync.message("node_gossip", message_id, node=node)))

    async def do_announce(self):
        """Tells which nodes of the DAG it has."""
        heads = {"head_ids": self.dag.heads, "node_count": len(self.dag.nodes)}
        seed = canonical(self.sync.message("announcement", "", **heads))
        message_id = f"announcement:{hashlib.sha256(seed).hexdigest()}"
        await self.pubsub.publish(TOPIC, canonical(self.sync.message("announcement", message_id, **heads)))

    # what it is told to do, beside what peer.py can

    async def do_allow(self, peers):
        self.chain.allowed = peers

    async def do_counts(self):
        """Connections that came since it began, and those that are open."""
        came = self.chain.came_at
        return {"came": len(came), "cameAtMs": [at * 1000 for at in came], "open": len(self.host.get_connected_peers()), "started": self.sync.started}

    async def do_known(self):
        return {"peers": self.known(), "table": [str(peer) for peer in self.dht.routing_table.get_peer_ids()]}

    async def do_pin(self, peer):
        """From now on it looks whether that peer is in its mesh."""
        self.pinned[peer] = {"looks": 0, "absent": 0}
        self.nursery.start_soon(self.look, peer)

    async def look(self, peer):
        peer_id = ID.from_string(peer)
        while True:
            self.pinned[peer]["looks"] += 1
            self.pinned[peer]["absent"] += peer_id not in self.pubsub.router.mesh.get(TOPIC, set())
            await trio.sleep(LOOK_S)

    async def do_pinned(self, peer):
        """How often it looked, how often that peer was absent, and its score."""
        score = self.pubsub.router.scorer.score(ID.from_string(peer), [TOPIC])
        return {**self.pinned[peer], "score": score}

    async def do_take(self, node):
        """Takes a node of the DAG as if it had come; raises Refused."""
        return {"new": self.dag.take(node)}


if __name__ == "__main__":
    trio.run(main, Template)
