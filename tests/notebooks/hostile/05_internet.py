# %%
# ruff: noqa
import socket
import urllib.request

for family in ("AF_INET", "AF_INET6"):
    for kind in ("SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW"):
        attempt(f"{family} {kind}", lambda: socket.socket(getattr(socket, family), getattr(socket, kind)))
attempt("dns", lambda: socket.getaddrinfo("example.org", 80))
attempt("http", lambda: urllib.request.urlopen("http://192.0.2.1/", timeout=2))
