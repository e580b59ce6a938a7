# %%
# ruff: noqa
import os
import socket


def connected(address):
    return socket.socket(socket.AF_UNIX).connect(address)


attempt("docker", lambda: connected("/var/run/docker.sock"))
attempt("containerd", lambda: connected("/run/containerd/containerd.sock"))
attempt("dbus", lambda: connected("/run/dbus/system_bus_socket"))
attempt("a service's file", lambda: connected("@NEIGHBOUR@/service.sock"))
attempt("a service's abstract name", lambda: connected("\0" + "@SECRET@"))
attempt("any in /run", lambda: something(os.listdir("/run")))
