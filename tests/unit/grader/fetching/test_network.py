import socket

import pytest

from grader.fetching.hosts import LinkSettings, allowed_hosts
from grader.fetching.network import Gate, Line, Network, is_public, resolve


@pytest.mark.parametrize(
    "ip", ["8.8.8.8", "142.250.74.110", "2a00:1450:400f:80d::200e", "::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b::808:808"]
)
def test_public_addresses(ip: str) -> None:
    assert is_public(ip)


@pytest.mark.parametrize(
    "ip",
    [
        *(
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
        ),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
        *("::", "::1", "fe80::1", "fe80::1%1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::1", "2002:a00:1::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    ],
)
def test_addresses_that_are_not_public(ip: str) -> None:
    assert not is_public(ip)


def test_a_name_has_all_its_addresses() -> None:
    assert ("127.0.0.1", 80) in resolve("localhost", 80)
    assert resolve("127.0.0.1", 8) == [("127.0.0.1", 8)]


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as closed:
        port, dead = server.getsockname()[1], closed.getsockname()[1]
        closed.close()
        network = Network(resolve=lambda host, _: [("127.0.0.1", dead), ("127.0.0.1", port)], is_public=lambda ip: True)
        with Gate(allowed_hosts(LinkSettings()), network, Line()).open("drive.google.com", 443, 5) as connection:
            assert connection.getpeername()[1] == port


def test_a_cut_line_opens_nothing() -> None:
    line = Line()
    line.cut()
    network = Network(resolve=lambda *_: pytest.fail("asked for an address"))
    with pytest.raises(OSError, match="ended"):
        Gate(allowed_hosts(LinkSettings()), network, line).open("drive.google.com", 443, 5)


def test_a_cut_ends_connections_of_before_and_after() -> None:
    line = Line()
    for cut_first in (False, True):
        here, there = socket.socketpair()
        with here, there:
            if cut_first:
                line.add(here)
            else:
                line.add(here)
                line.cut()
            there.settimeout(5)
            assert there.recv(1) == b""
