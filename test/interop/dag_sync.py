"""
/subnet/merkle_dag_sync_protocol/1.0.0, as a template node serves it and asks with it: one JSON object each way, in a frame with its length.

When it starts it asks every peer that it is connected to or knows of, again and again, until each has answered and it has all that they have. There is
no deadline, and before it has ended the node tells nothing of itself.
"""

import json

import trio

from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.utils.varint import encode_varint_prefixed, read_varint_prefixed_bytes_limited

from dag import NAMESPACE, Refused, canonical, now_ms, require

PROTOCOL = "/subnet/merkle_dag_sync_protocol/1.0.0"
MAX_FRAME_BYTES = 2**32 - 1
MAX_WRITE_BYTES = 60 * 1024
MAX_NODES_ASKED = 32

SUMMARY = {"namespace": str, "head_ids": [str], "node_count": int, "orphan_count": int, "generated_at_ms": int}
HEADER = {
    "node_id": str,
    "namespace": str,
    "schema_id": str,
    "parent_ids": [str],
    "body_hash": str,
    "body_size": int,
    "author": str,
    "public_key": str,
    "signature": str,
    "created_at_ms": int,
    "version": int,
    "metadata": dict,
}
NODE = {"header": HEADER, "body": {"node_id": str, "payload": dict}}
#: the fields of each kind, beside those that all have
KINDS = {
    "node_gossip": {"node": NODE},
    "announcement": {"head_ids": [str], "node_count": int},
    "inventory_request": {"known_heads": [str], "node_count": int},
    "inventory_response": {"summary": SUMMARY},
    "fetch_request": {"node_ids": [str], "include_bodies": bool, "max_ancestor_depth": int},
    "fetch_response": {"nodes": [NODE], "not_found": [str]},
}
ALL_HAVE = {"message_id": str, "namespace": str, "peer_id": str, "created_at_ms": int}


def conform(value, shape, where):
    """Raises Refused where a field is missing or of another type. Other fields are allowed."""
    if isinstance(shape, dict):
        conform(value, dict, where)
        for name, of in shape.items():
            require(name in value, f"{where} has no {name}")
            conform(value[name], of, f"{where}.{name}")
    elif isinstance(shape, list):
        conform(value, list, where)
        for item in value:
            conform(item, shape[0], f"an item of {where}")
    else:
        # a bool is an int to isinstance
        require(type(value) is shape, f"{where} is no {shape.__name__}")


def read(data, *kinds):
    """A message of one of these kinds, checked field by field. Raises Refused."""
    try:
        message = json.loads(data)
    except ValueError as error:
        raise Refused(f"no JSON: {error}") from error
    conform(message, {"kind": str, **ALL_HAVE}, "the message")
    require(message["kind"] in kinds, f"a message of kind {message['kind']}, not {' or '.join(kinds)}")
    conform(message, KINDS[message["kind"]], "the message")
    return message


async def write_frame(stream, message):
    frame = encode_varint_prefixed(canonical(message))
    for begin in range(0, len(frame), MAX_WRITE_BYTES):
        await stream.write(frame[begin : begin + MAX_WRITE_BYTES])


async def read_frame(stream):
    return await read_varint_prefixed_bytes_limited(stream, MAX_FRAME_BYTES)


class DagSync:
    def __init__(self, host, dag, tell, dht, known):
        """`known` gives the peers that are connected, and those that can be reached otherwise."""
        self.host, self.dag, self.tell, self.dht, self.known = host, dag, tell, dht, known
        #: the last summary of each peer that answered
        self.summaries = {}
        self.started = False
        host.set_stream_handler(PROTOCOL, self.serve)

    def message(self, kind, message_id, **fields):
        return {
            "created_at_ms": now_ms(),
            "kind": kind,
            "message_id": message_id,
            "namespace": NAMESPACE,
            "peer_id": self.dag.peer_id,
            **fields,
        }

    # it is asked

    async def serve(self, stream):
        """Where anything goes wrong, the stream is closed without an answer."""
        asker = str(stream.muxed_conn.peer_id)
        try:
            request = read(await read_frame(stream), "inventory_request", "fetch_request")
            require(request["namespace"] == NAMESPACE, "another namespace")
            await write_frame(stream, self.answer(request))
            self.tell(event="asked", peerId=asker, kind=request["kind"])
        except Exception as error:
            self.tell(event="refused", peerId=asker, why=f"{type(error).__name__}: {error}")
        finally:
            await stream.close()

    def answer(self, request):
        if request["kind"] == "inventory_request":
            return self.message("inventory_response", request["message_id"], summary=self.dag.summary)
        found = sorted(self.dag.nodes.keys() & set(request["node_ids"]))
        return self.message(
            "fetch_response",
            request["message_id"],
            nodes=[self.dag.nodes[node_id] for node_id in found],
            not_found=sorted(set(request["node_ids"]) - set(found)),
        )

    # it asks

    async def open_stream(self, peer):
        peer_id = ID.from_string(peer)
        if peer_id not in self.host.get_network().connections:
            await self.host.connect(await self.where(peer_id))
        return await self.host.new_stream(peer_id, [PROTOCOL])

    async def where(self, peer_id):
        store = self.host.get_peerstore()
        if peer_id in store.peers_with_addrs():
            return PeerInfo(peer_id, store.addrs(peer_id))
        found = await self.dht.find_peer(peer_id)
        require(found is not None and found.addrs, "no address is known")
        return found

    async def ask(self, peer, kind, **fields):
        """One question, without a deadline. Raises Refused for an answer that is none."""
        request = self.message(f"{kind}_request", f"{kind}:{self.dag.peer_id}:{peer}:{now_ms()}", **fields)
        stream = await self.open_stream(peer)
        try:
            await write_frame(stream, request)
            answer = read(await read_frame(stream), f"{kind}_response")
        finally:
            await stream.close()
        require(answer["message_id"] == request["message_id"], "an answer to another question")
        require(answer["namespace"] == NAMESPACE, "an answer of another namespace")
        require(answer["peer_id"] == peer, "an answer of another peer")
        return answer

    async def compare(self, peer):
        """Asks a peer what it has, and for what is missing here."""
        known = {"known_heads": self.dag.heads, "node_count": len(self.dag.nodes)}
        answer = await self.ask(peer, "inventory", **known)
        self.summaries[peer] = answer["summary"]
        await self.fetch(peer, set(answer["summary"]["head_ids"]) - self.dag.nodes.keys())

    async def fetch(self, peer, node_ids):
        """Asks for these nodes, and for those before them, as far as they are missing here. True where something new came."""
        asked, left, came = set(), set(node_ids), False
        while left:
            batch = sorted(left)[:MAX_NODES_ASKED]
            asked.update(batch)
            answer = await self.ask(peer, "fetch", node_ids=batch, include_bodies=True, max_ancestor_depth=0)
            for node in answer["nodes"]:
                came = self.dag.take(node) or came
            left = (left | set(self.dag.missing)) - asked
        return came

    async def fetch_from_anyone(self, first):
        """Asks for what is missing, whoever of those that it knows has it; this peer first."""
        came = False
        for peer in [first, *(each for each in self.known() if each != first)]:
            if not self.dag.missing:
                break
            try:
                came = await self.fetch(peer, self.dag.missing) or came
            except Exception as error:
                self.unanswered(peer, error)
        return came

    # the start

    def unanswered(self, peer, error):
        self.tell(event="unanswered", peerId=peer, why=f"{type(error).__name__}: {error}")

    def converged(self, peers):
        return not self.dag.waiting and all(
            peer in self.summaries
            and len(self.dag.nodes) >= self.summaries[peer]["node_count"]
            and self.dag.nodes.keys() >= set(self.summaries[peer]["head_ids"])
            for peer in peers
        )

    async def start(self, min_peers, wait_s, settle_s, poll_s):
        """Ends when everybody has answered, in two rounds with the same peers. Without any peer it ends after `wait_s`."""
        with trio.move_on_after(wait_s):
            while len(self.host.get_connected_peers()) < min_peers:
                await trio.sleep(poll_s)
        if self.host.get_connected_peers():
            await trio.sleep(settle_s)
            await self.ask_everybody(poll_s)
        self.started = True
        self.tell(event="started", peers=sorted(self.summaries))

    async def ask_everybody(self, poll_s):
        before = None
        while True:
            peers = self.known()
            if peers and not self.converged(peers):
                for peer in peers:
                    try:
                        await self.compare(peer)
                    except Exception as error:
                        self.unanswered(peer, error)
            if not peers or not self.converged(peers):
                before = None
            elif peers == before:
                return
            else:
                before = peers
            await trio.sleep(poll_s)
