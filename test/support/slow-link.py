"""
A link in a network namespace that is slow and loses packets, for one machine with itself: what is sent to 10.9.0.2 comes back after a
while as if 10.9.0.2 had sent it to 10.9.0.1, or is lost. A swap of the two addresses keeps all checksums right.

    slow-link.py ONE_WAY_MS LOSS_PERCENT MOST_IN_A_ROW

Says "up" when it is, and runs until its stdin ends.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
MAX_PACKET_BYTES = 65536


def open_link():
    link = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(link, TUNSETIFF, struct.pack("16sH", b"slow", IFF_TUN | IFF_NO_PI))
    for arguments in ["address add 10.9.0.1/24 dev slow", "link set slow up"]:
        subprocess.run(["ip", *arguments.split()], check=True)
    return link


def swapped(packet):
    return packet[:12] + packet[16:20] + packet[12:16] + packet[20:]


class Loss:
    """Loses that share of the packets, and of one connection and direction no more in a row: bad luck without end would fail any test."""

    def __init__(self, share, most_in_a_row):
        self.share = share
        self.most_in_a_row = most_in_a_row
        self.in_a_row = {}

    def hits(self, packet):
        header_bytes = (packet[0] & 0x0F) * 4
        flow = packet[12:20] + packet[header_bytes : header_bytes + 4]
        hit = random.random() < self.share and self.in_a_row.get(flow, 0) < self.most_in_a_row
        self.in_a_row[flow] = self.in_a_row.get(flow, 0) + 1 if hit else 0
        return hit


def main():
    one_way_s = float(sys.argv[1]) / 1000
    loss = Loss(float(sys.argv[2]) / 100, int(sys.argv[3]))
    link = open_link()
    print("up", flush=True)
    under_way = []
    count = 0
    while True:
        wait_s = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        readable, _, _ = select.select([link, sys.stdin], [], [], wait_s)
        if sys.stdin in readable and not os.read(0, 1):
            return
        if link in readable:
            packet = os.read(link, MAX_PACKET_BYTES)
            if packet[0] >> 4 == 4 and not loss.hits(packet):
                count += 1
                heapq.heappush(under_way, (time.monotonic() + one_way_s, count, swapped(packet)))
        while under_way and under_way[0][0] <= time.monotonic():
            os.write(link, heapq.heappop(under_way)[2])


main()
