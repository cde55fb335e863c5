"""
A peer on py-libp2p that serves and calls /subnet/task_protocol/1.0.0, driven over stdin and stdout.

Each line of stdin is a command: {"id": 1, "do": "call", ...}. Each line of stdout is an answer to one, {"reply": 1, ...}
or {"reply": 1, "failed": "StreamReset", "why": "..."}, or an event, {"event": "request", ...}. It ends when stdin does.
The first argument, JSON, says what it is: {"key": "ed25519", "tasks": true, "dht": "SERVER", "gossip": true}.

As the reference does: one frame each way, its write side stays open until it has read the answer, and a handler that
fails closes the stream without one.
"""

import base64
import hashlib
import json
import os
import sys
import time

# whatever a library prints goes to stderr: stdout carries events only
EVENTS = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)

import trio
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.crypto import ed25519, rsa, secp256k1
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.identity.identify_push.identify_push import update_peerstore_from_identify
from libp2p.host.ping import PingService
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.envelope import consume_envelope
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.peer.peerstore import create_signed_peer_record
from libp2p.pubsub.gossipsub import PROTOCOL_ID, PROTOCOL_ID_V11, PROTOCOL_ID_V12, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils.varint import encode_varint_prefixed, read_varint_prefixed_bytes_limited

KEYS = {"ed25519": ed25519.create_new_key_pair, "secp256k1": secp256k1.create_new_key_pair, "rsa": rsa.create_new_key_pair}
TASKS = "/subnet/task_protocol/1.0.0"
MAX_FRAME_BYTES = 64 * 1024 * 1024
Field = descriptor_pb2.FieldDescriptorProto


def message_types(package, **messages):
    """Classes for proto3 messages whose fields are numbered in the order in which they are named."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for number, (field, type_) in enumerate(fields.items(), 1):
            message.field.add(name=field, number=number, type=type_, label=Field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages]


TaskRequest, TaskResponse = message_types(
    "task_protocol.pb",
    TaskRequest={"task_id": Field.TYPE_STRING, "payload": Field.TYPE_BYTES},
    TaskResponse={"accepted": Field.TYPE_BOOL, "result": Field.TYPE_BYTES, "error": Field.TYPE_STRING},
)
# the state is an enum there: on the wire the same as a number
(Heartbeat,) = message_types(
    "subnet.gossip.v1",
    Heartbeat={
        "signed_peer_record": Field.TYPE_BYTES,
        "subnet_id": Field.TYPE_UINT32,
        "state": Field.TYPE_UINT32,
        "sent_at_ms": Field.TYPE_UINT64,
        "interval_ms": Field.TYPE_UINT32,
    },
)


class MoreThanOneMessage(Exception):
    """Something came after the one message."""


class HandlerFailure(Exception):
    """What the handler of this peer fails with when it is told to."""


class StreamOfBytes:
    """A stream that ends after these bytes, for the library's reader."""

    def __init__(self, data):
        self.left = data

    async def read(self, n):
        data, self.left = self.left[:n], self.left[n:]
        return data


def tell(**line):
    EVENTS.write(json.dumps(line) + "\n")
    EVENTS.flush()


def digest(data):
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def as_json(message):
    """The fields as in the vectors: bytes in hex."""
    if isinstance(message, TaskRequest):
        return {"taskId": message.task_id, "payload": message.payload.hex()}
    return {"accepted": message.accepted, "result": message.result.hex(), "error": message.error}


async def read_message(stream, type_):
    return type_.FromString(await read_varint_prefixed_bytes_limited(stream, MAX_FRAME_BYTES))


class Peer:
    def __init__(self, nursery, init):
        self.nursery = nursery
        self.key_pair = KEYS[init.get("key", "ed25519")]()
        self.host = new_host(key_pair=self.key_pair, sec_opt=self.security())
        self.how = "echo"
        self.frame = b""
        self.held = {}
        # set when it is told to serve otherwise
        self.otherwise = trio.Event()
        self.dht = KadDHT(self.host, DHTMode[init["dht"]]) if "dht" in init else None
        self.pubsub = None
        if init.get("tasks"):
            self.host.set_stream_handler(TASKS, self.serve)
        if init.get("gossip"):
            self.pubsub = Pubsub(self.host, self.router())

    # what a peer of another kind does otherwise

    def security(self):
        """The security protocols it offers; the library's own where there are none."""
        return None

    def router(self):
        return GossipSub([PROTOCOL_ID_V12, PROTOCOL_ID_V11, PROTOCOL_ID], 6, 4, 12, heartbeat_interval=1)

    async def began(self):
        """It listens, and its services run."""

    # what others ask of this peer

    async def serve(self, stream):
        try:
            await getattr(self, f"serve_{self.how}")(stream)
        except HandlerFailure:
            await stream.close()
        except Exception as error:
            tell(event="left", why=type(error).__name__)
            await stream.reset()

    async def take(self, stream):
        request = await read_message(stream, TaskRequest)
        tell(event="request", taskId=request.task_id, **digest(request.payload))
        return request

    async def answer(self, stream, **fields):
        await stream.write(encode_varint_prefixed(TaskResponse(**fields).SerializeToString()))
        await stream.close()

    async def serve_echo(self, stream):
        request = await self.take(stream)
        await self.answer(stream, accepted=True, result=request.payload)

    async def serve_reject(self, stream):
        await self.take(stream)
        await self.answer(stream, accepted=False, error="не сегодня")

    async def serve_fail(self, stream):
        await self.take(stream)
        raise HandlerFailure

    async def serve_reset(self, stream):
        await self.take(stream)
        await stream.reset()

    async def serve_stall(self, stream):
        """
        Reads the request and never answers. Once it is told to serve otherwise it tells when its caller left: where that has closed its
        side, only a write can tell.
        """
        otherwise = self.otherwise
        await self.take(stream)
        await otherwise.wait()
        while True:
            await stream.write(b"\x01")
            await trio.sleep(0.01)

    async def serve_deaf(self, stream):
        """Takes the stream and never reads."""
        tell(event="stream")
        await trio.sleep_forever()

    async def serve_frame(self, stream):
        """Answers with these bytes, whatever they are."""
        await self.take(stream)
        if self.frame:
            await stream.write(self.frame)
        await stream.close()

    # what this peer is told to do

    async def do_serve(self, how, frame=""):
        self.how, self.frame = how, bytes.fromhex(frame)
        self.otherwise.set()
        self.otherwise = trio.Event()

    async def do_dial(self, address):
        await self.host.connect(info_from_p2p_addr(Multiaddr(address)))

    async def do_leave(self, peer):
        await self.host.disconnect(ID.from_string(peer))

    async def do_connection(self, peer):
        connection = self.host.get_network().connections[ID.from_string(peer)][0]
        return {
            "muxer": type(connection.muxed_conn).__name__,
            "security": type(connection.muxed_conn.secured_conn.conn).__name__,
        }

    async def do_identify(self, peer):
        peer_id = ID.from_string(peer)
        stream = await self.host.new_stream(peer_id, [IDENTIFY])
        identified = await read_message(stream, Identify)
        await stream.close()
        await update_peerstore_from_identify(self.host.get_peerstore(), peer_id, identified)
        if self.dht is not None:
            await self.dht.add_peer(peer_id)
        envelope, record = consume_envelope(identified.signedPeerRecord, "libp2p-peer-record")
        return {
            "agent": identified.agent_version,
            "protocols": list(identified.protocols),
            "addresses": [str(Multiaddr(address)) for address in identified.listen_addrs],
            "signed": {"peerId": str(record.peer_id), "addresses": [str(address) for address in record.addrs]},
        }

    async def do_ping(self, peer):
        (ms,) = await PingService(self.host).ping(ID.from_string(peer))
        return {"ms": ms}

    async def do_call(self, peer, taskId="", size=0):
        """One call with random bytes."""
        payload = os.urandom(size)
        stream = await self.ask(peer, TaskRequest(task_id=taskId, payload=payload))
        try:
            answer = await read_message(stream, TaskResponse)
        except BaseException:
            await stream.reset()
            raise
        await stream.close()
        return {
            "sent": digest(payload),
            "accepted": answer.accepted,
            "error": answer.error,
            "result": digest(answer.result),
        }

    async def do_calls(self, peer, count, end, withinMs):
        """Calls one after the other, each stream ended in this way (close, reset), until one takes longer."""
        answered = 0
        with trio.CancelScope() as scope:
            while answered < count:
                scope.deadline = trio.current_time() + withinMs / 1000
                stream = await self.ask(peer, TaskRequest(task_id="one of many", payload=b"x"))
                answer = await read_message(stream, TaskResponse)
                answered += answer.accepted
                await getattr(stream, end)()
        return {"answered": answered}

    async def do_ask(self, peer, taskId=""):
        """Asks, and does not wait for the answer."""
        self.held[taskId] = await self.ask(peer, TaskRequest(task_id=taskId))

    async def do_reset(self, taskId):
        await self.held.pop(taskId).reset()

    async def do_send(self, peer, frame):
        """Sends these bytes and the end of its write side; gives the answer."""
        stream = await self.host.new_stream(ID.from_string(peer), [TASKS])
        try:
            if frame:
                await stream.write(bytes.fromhex(frame))
            await stream.close_write()
        except StreamError:
            pass  # refused before all of it was sent: reading tells how
        answer = await read_message(stream, TaskResponse)
        return {"accepted": answer.accepted, "error": answer.error}

    async def ask(self, peer, request):
        stream = await self.host.new_stream(ID.from_string(peer), [TASKS])
        await stream.write(encode_varint_prefixed(request.SerializeToString()))
        return stream

    # frames without a network

    async def do_encode(self, kind, fields):
        if kind == "request":
            message = TaskRequest(task_id=fields["taskId"], payload=bytes.fromhex(fields["payload"]))
        else:
            result = bytes.fromhex(fields["result"])
            message = TaskResponse(accepted=fields["accepted"], result=result, error=fields["error"])
        return {"frame": encode_varint_prefixed(message.SerializeToString()).hex()}

    async def do_decode(self, kind, frame):
        stream = StreamOfBytes(bytes.fromhex(frame))
        message = await read_message(stream, TaskRequest if kind == "request" else TaskResponse)
        if stream.left:
            raise MoreThanOneMessage
        return {"fields": as_json(message)}

    # the DHT

    async def do_find(self, peer):
        found = await self.dht.find_peer(ID.from_string(peer))
        return {"addresses": [] if found is None else [str(address) for address in found.addrs]}

    # gossip

    async def do_subscribe(self, topic):
        messages = await self.pubsub.subscribe(topic)
        self.nursery.start_soon(self.tell_messages, messages)

    async def tell_messages(self, messages):
        async for message in messages:
            line = {"from": str(ID(message.from_id)), "data": base64.b64encode(message.data).decode()}
            tell(event="message", **line, heartbeat=self.read_heartbeat(message.data))

    def read_heartbeat(self, data):
        try:
            beat = Heartbeat.FromString(data)
            _, record = consume_envelope(beat.signed_peer_record, "libp2p-peer-record")
        except Exception:
            return None
        addresses = [str(address) for address in record.addrs]
        return {"peerId": str(record.peer_id), "addresses": addresses, "subnetId": beat.subnet_id, "state": beat.state}

    async def do_mesh(self, peer, topic):
        """Waits until the other has subscribed and is in the mesh."""
        peer_id = ID.from_string(peer)
        await self.pubsub.wait_for_subscription(peer_id, topic, timeout=15)
        await self.pubsub.wait_for_mesh(peer_id, topic, timeout=15)
        return {"protocol": self.pubsub.router.peer_protocol[peer_id]}

    async def do_publish(self, topic, data):
        await self.pubsub.publish(topic, base64.b64decode(data))

    async def do_beat(self, topic, subnetId, state, intervalMs):
        """A heartbeat of this peer, as proto/subnet/gossip/v1/heartbeat.proto has it."""
        record = create_signed_peer_record(self.host.get_id(), self.host.get_transport_addrs(), self.host.get_private_key())
        beat = Heartbeat(
            signed_peer_record=record.marshal_envelope(),
            subnet_id=subnetId,
            state=state,
            sent_at_ms=int(time.time() * 1000),
            interval_ms=intervalMs,
        )
        await self.pubsub.publish(topic, beat.SerializeToString())

    async def obey(self, command):
        number = command.pop("id")
        try:
            answer = await getattr(self, "do_" + command.pop("do"))(**command)
        except Exception as error:
            tell(reply=number, failed=type(error).__name__, why=str(error))
        else:
            tell(reply=number, **(answer or {}))


async def lines_of(file):
    unread = b""
    async with trio.lowlevel.FdStream(file) as stream:
        async for chunk in stream:
            *lines, unread = (unread + chunk).split(b"\n")
            for line in lines:
                yield line


async def main(kind):
    async with trio.open_nursery() as nursery:
        peer = kind(nursery, json.loads(sys.argv[1]))
        async with peer.host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
            for service in (peer.dht, peer.pubsub, peer.pubsub and peer.pubsub.router):
                if service:
                    nursery.start_soon(run_service, service)
            if peer.pubsub:
                await peer.pubsub.wait_until_ready()
            addresses = [str(address) for address in peer.host.get_addrs()]
            tell(event="ready", peerId=str(peer.host.get_id()), addresses=addresses)
            nursery.start_soon(peer.began)
            async for line in lines_of(os.dup(0)):
                nursery.start_soon(peer.obey, json.loads(line))
            # nobody is there any more: nothing to be polite about
            os._exit(0)


async def run_service(service):
    async with background_trio_service(service):
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, Peer)
