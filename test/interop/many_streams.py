"""
Measures how many calls py-libp2p makes on one connection, and whether calls go on after a new one. It runs on any version from 0.6 on.

    python many_streams.py MULTIADDR [CALLS]

The peer must accept tasks. Each call has a stream of its own, which is closed after its answer.
"""

import os
import sys
import time

import trio

from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

TASKS = "/subnet/task_protocol/1.0.0"
#: a TaskRequest with the task id "t" and the payload "x", its length before it
REQUEST = bytes.fromhex("060a0174120178")
HANGS_AFTER_S = 10


async def call(host, peer_id):
    stream = await host.new_stream(peer_id, [TASKS])
    await stream.write(REQUEST)
    (length,) = await stream.read(1)
    while length > 0:
        length -= len(await stream.read(length))
    await stream.close()


async def calls(host, info, count):
    await host.connect(info)
    began = time.monotonic()
    for answered in range(count):
        with trio.move_on_after(HANGS_AFTER_S) as scope:
            await call(host, info.peer_id)
        if scope.cancelled_caught:
            print(f"{answered} calls, then none for {HANGS_AFTER_S} s")
            return
    print(f"{count} calls in {time.monotonic() - began:.1f} s")


async def main(address, count=600):
    info = info_from_p2p_addr(Multiaddr(address))
    host = new_host(key_pair=create_new_key_pair())
    async with host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        await calls(host, info, int(count))
        await host.disconnect(info.peer_id)
        print("a new connection: ", end="")
        await calls(host, info, 100)
        sys.stdout.flush()
        os._exit(0)


trio.run(main, *sys.argv[1:])
