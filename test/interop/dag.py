"""
The DAG that the nodes of Hypertensor's template share: each node of it is signed by the peer that told it, and names the nodes before it.

A template node tells its state as such a node, on the topic peer_state. What is signed, hashed and measured is canonical JSON.
"""

import hashlib
import json
import time

from libp2p.crypto.serialization import deserialize_public_key
from libp2p.peer.id import ID

NAMESPACE = "general-dag"
SCHEMA = "peer-state"
#: in the header, and not signed
UNSIGNED = ("node_id", "signature")
MAX_AHEAD_MS = 60_000


class Refused(Exception):
    """What a template node does not take."""


def now_ms():
    return int(time.time() * 1000)


def canonical(value):
    return json.dumps(value, allow_nan=False, separators=(",", ":"), sort_keys=True).encode()


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def signed_part(header):
    return canonical({name: value for name, value in header.items() if name not in UNSIGNED})


def require(holds, why):
    if not holds:
        raise Refused(why)


def check(node):
    """Raises Refused for a node that is not as its author signed it."""
    header, body = node["header"], node["body"]
    key = deserialize_public_key(bytes.fromhex(header["public_key"]))
    signed = signed_part(header)
    payload = canonical(body["payload"])
    require(header["namespace"] == NAMESPACE and header["schema_id"] == SCHEMA, "another namespace or schema")
    require(header["parent_ids"] == sorted(set(header["parent_ids"])), "parents twice, or out of order")
    require(header["node_id"] == body["node_id"] == digest(signed), "another node_id")
    require(key.verify(signed, bytes.fromhex(header["signature"])), "a signature that does not hold")
    require(header["author"] == str(ID.from_pubkey(key)), "another author")
    require(header["body_hash"] == digest(payload) and header["body_size"] == len(payload), "another body")
    require(header["created_at_ms"] <= now_ms() + MAX_AHEAD_MS, "from the future")


class Dag:
    def __init__(self, key_pair):
        self.key_pair = key_pair
        self.peer_id = str(ID.from_pubkey(key_pair.public_key))
        #: whole: all that they come after are here too
        self.nodes = {}
        #: these wait for nodes before them
        self.waiting = {}

    @property
    def heads(self):
        before = {parent for node in self.nodes.values() for parent in node["header"]["parent_ids"]}
        return sorted(self.nodes.keys() - before)

    @property
    def missing(self):
        wanted = {parent for node in self.waiting.values() for parent in node["header"]["parent_ids"]}
        return sorted(wanted - self.nodes.keys() - self.waiting.keys())

    @property
    def summary(self):
        return {
            "generated_at_ms": now_ms(),
            "head_ids": self.heads,
            "namespace": NAMESPACE,
            "node_count": len(self.nodes),
            "orphan_count": len(self.waiting),
        }

    def make(self, payload):
        """A new node of this peer, after all that it knows."""
        body = canonical(payload)
        header = {
            "author": self.peer_id,
            "body_hash": digest(body),
            "body_size": len(body),
            "created_at_ms": now_ms(),
            "metadata": payload,
            "namespace": NAMESPACE,
            "parent_ids": self.heads,
            "public_key": self.key_pair.public_key.serialize().hex(),
            "schema_id": SCHEMA,
            "version": 1,
        }
        signed = signed_part(header)
        header["node_id"] = digest(signed)
        header["signature"] = self.key_pair.private_key.sign(signed).hex()
        return {"header": header, "body": {"node_id": header["node_id"], "payload": payload}}

    def take(self, node):
        """True for a node that is new here. Raises Refused."""
        check(node)
        node_id = node["header"]["node_id"]
        if node_id in self.nodes or node_id in self.waiting:
            return False
        self.waiting[node_id] = node
        while whole := [each for each in self.waiting.values() if self.nodes.keys() >= set(each["header"]["parent_ids"])]:
            for each in whole:
                self.nodes[each["header"]["node_id"]] = self.waiting.pop(each["header"]["node_id"])
        return True
