"""Connections that only take up room: the limit, and headers that never end."""

import socket
import time

import pytest

from wire import Wire

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def health(server, seconds=10):
    with Wire(server.port, seconds=seconds) as wire:
        wire.send(HEALTH)
        return wire.head()[0]


def idle(server, count):
    return [socket.create_connection(("127.0.0.1", server.port)) for _ in range(count)]


def close(connections):
    for one in connections:
        one.close()


def test_limit_reached_and_left(start):
    """libmicrohttpd stops to accept at the limit; it must begin again when nothing else happens."""
    server = start("--max-connections", "5")
    for _ in range(3):
        connections = idle(server, 5)
        time.sleep(0.5)
        close(connections)
        assert health(server) == 200


def test_dead_clients_in_the_backlog(start):
    server = start("--max-connections", "5")
    connections = idle(server, 40)
    time.sleep(0.5)
    close(connections[5:])
    time.sleep(0.2)
    close(connections[:5])
    assert health(server) == 200


def test_one_place_is_enough(start):
    """The one who waits comes in as soon as one of the five leaves."""
    server = start("--max-connections", "5")
    connections = idle(server, 5)
    time.sleep(0.5)
    with Wire(server.port, seconds=10) as waiting:
        waiting.send(HEALTH)
        time.sleep(0.3)
        connections[2].close()
        assert waiting.head()[0] == 200
    assert health(server) == 200
    close(connections)


def drip(wire, data, seconds, pause=0.2):
    """Sends a byte at a time; how long the connection lasted."""
    began = time.monotonic()
    wire.socket.settimeout(pause)
    for byte in data:
        if time.monotonic() - began > seconds:
            break
        try:
            wire.send(bytes([byte]))
            if wire.socket.recv(1) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


@pytest.mark.parametrize("before", [0, 1])
def test_headers_that_never_end(start, before):
    """A byte now and then keeps no connection, new or kept alive."""
    server = start("--connection-timeout-s", "2")
    with Wire(server.port) as wire:
        for _ in range(before):
            wire.request("GET", "/health")
            assert wire.response()[0] == 200
        lasted = drip(wire, b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 100, 12)
    assert 1 < lasted < 6


def test_slow_headers_within_the_time(start):
    kept = HEALTH.replace(b"Connection: close\r\n", b"")
    server = start("--connection-timeout-s", "5")
    with Wire(server.port) as wire:
        for _ in range(2):
            for at in range(0, len(kept), 4):
                wire.send(kept[at:at + 4])
                time.sleep(0.05)
            assert wire.response()[0] == 200


def test_long_answers_are_not_late(start):
    """The time is for headers; an answer may take longer."""
    server = start("--connection-timeout-s", "1")
    answer = server.complete("a", max_tokens=150, ignore_eos=True, temperature=0)
    assert answer["usage"]["completion_tokens"] == 150
