"""Ports of this machine's own address: which are free."""

from __future__ import annotations

import secrets
import socket

HOST = "127.0.0.1"
# Below the ports that the kernel gives to outgoing connections, so that ours is free
# again when a service comes back.
PORTS = range(20_000, 32_000)


def port_is_free(port: int) -> bool:
    """Whether a server may bind 127.0.0.1:port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that is free now, chosen at random so that two clones seldom meet."""
    while not port_is_free(port := secrets.choice(PORTS)):
        pass
    return port
