# %%
# ruff: noqa
import socket

for family in ("AF_VSOCK", "AF_ALG", "AF_PACKET", "AF_NETLINK", "AF_CAN", "AF_TIPC", "AF_BLUETOOTH"):
    number = getattr(socket, family, None) or {"AF_VSOCK": 40, "AF_BLUETOOTH": 31}[family]
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW):
        attempt(f"{family} {kind.name}", lambda: socket.socket(number, kind))
