"""switch.py INTERFACE SEED: reads packets from a TUN interface and writes each back after a delay, or drops it.

Each line of stdin sets the delay in milliseconds and the loss in percent. It ends with its stdin.
"""
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
MOST_HELD = 20_000

name, seed = sys.argv[1:]
chance = random.Random(int(seed))
tun = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tun, TUNSETIFF, struct.pack('16sH', name.encode(), IFF_TUN | IFF_NO_PI))
print('ready', flush=True)

delay, loss, held, count = 0.0, 0.0, [], 0
while True:
    wait = max(0.0, held[0][0] - time.monotonic()) if held else None
    readable, _, _ = select.select([tun, 0], [], [], wait)
    if 0 in readable:
        lines = os.read(0, 4096).decode().split('\n')
        if lines == ['']:
            break
        delay_ms, percent = lines[-2].split()
        delay, loss = float(delay_ms) / 1000, float(percent) / 100
    if tun in readable:
        packet = os.read(tun, 65535)
        if chance.random() >= loss and len(held) < MOST_HELD:
            count += 1
            heapq.heappush(held, (time.monotonic() + delay, count, packet))
    while held and held[0][0] <= time.monotonic():
        try:
            os.write(tun, heapq.heappop(held)[2])
        except OSError:
            pass  # the interface takes no more: a lost packet
