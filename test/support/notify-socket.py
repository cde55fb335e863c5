"""Stands in for systemd: prints what a service tells it. A barrier is what systemd-notify waits at, until its descriptor is closed."""
import os
import socket
import sys

with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
    listening.bind(sys.argv[1])
    print('listening', flush=True)
    while True:
        message, descriptors, _, _ = socket.recv_fds(listening, 4096, 8)
        for descriptor in descriptors:
            os.close(descriptor)
        for line in message.decode().splitlines():
            print(line, flush=True)
