"""Event streams on the wire: comments while waiting, slow readers, a thousand at once."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from wire import Wire

TEXT = "/v1/completions"
LONG = {"prompt": "a", "max_tokens": 1200, "ignore_eos": True, "stream": True, "temperature": 0}
SHORT = {"prompt": "The capital of France is", "max_tokens": 16, "ignore_eos": True,
         "temperature": 0, "stream": True}


def test_stream_on_the_wire(server):
    with Wire(server.port) as wire:
        wire.request("POST", TEXT, SHORT)
        status, headers = wire.head()
        lines = list(wire.events())
        assert status == 200
        assert headers["content-type"].startswith("text/event-stream")
        assert "no-cache" in headers["cache-control"]
        assert lines[-1] == "data: [DONE]"
        for line in lines[:-1]:
            assert line.startswith("data: ")
            json.loads(line[6:])
        # The connection serves the next request.
        wire.request("GET", "/health")
        assert wire.response()[0] == 200


def test_comments_while_waiting(start):
    """A stream that waits for its turn has sent its status and says something now and then."""
    server = start("--max-num-seqs", "1", "--roles", "both", "--sse-keepalive-s", "1")
    with Wire(server.port) as first, Wire(server.port) as second:
        first.request("POST", TEXT, LONG)
        first.until(b"data: ")
        second.request("POST", TEXT, SHORT)
        status, _ = second.head()
        assert status == 200
        lines = second.events()
        assert next(lines).startswith(":")
        assert next(lines).startswith(":")
        first.reset()
        lines = list(lines)
        assert lines[-1] == "data: [DONE]"
    server.wait_idle()


def text_of(server):
    return server.complete("Once upon a time", max_tokens=32, ignore_eos=True,
                           temperature=0)["choices"][0]["text"]


def test_a_thousand_idle_connections(start):
    """850 idle connections and 150 finished streams that nobody reads: no CPU, and
    everybody else is answered as before. (How fast is a matter for bench/serving.py.)"""
    server = start("--max-connections", "2000", "--connection-timeout-s", "600",
                   "--stall-timeout-s", "600", "--sse-keepalive-s", "0")
    before = text_of(server)
    wires = []
    try:
        for i in range(1000):
            wire = Wire(server.port, receive_buffer=4096 if i < 150 else None)
            wires.append(wire)
            if i < 150:
                wire.request("POST", TEXT, {**SHORT, "max_tokens": 4})
            else:
                wire.request("GET", "/health")
        for wire in wires[150:]:
            assert wire.response()[0] == 200
        server.wait_idle()
        ticks = server.cpu_ticks()
        time.sleep(2)
        assert server.cpu_ticks() - ticks <= 2, "idle connections cost CPU"
        assert text_of(server) == before
        for wire in wires[:150]:
            assert wire.until(b"data: [DONE]")
    finally:
        for wire in wires:
            wire.socket.close()
    server.wait_idle()


def waiting_stream(port, number):
    """Half of them chats, half completions; all ask for more than anyone will wait for."""
    wire = Wire(port)
    if number % 2:
        wire.request("POST", "/v1/chat/completions", {
            "messages": [{"role": "user", "content": f"Tell me about number {number}."}],
            "max_tokens": 1200, "stream": True})
    else:
        wire.request("POST", TEXT, {**LONG, "prompt": f"Number {number} is"})
    return wire


def read_tokens(wire, count):
    """Reads events that the server sends from now on: what lies in the socket is old."""
    wire.received = b""
    wire.socket.setblocking(False)
    try:
        while wire.socket.recv(1 << 20):
            pass
        raise EOFError("the stream has ended")
    except BlockingIOError:
        pass
    wire.socket.settimeout(120)
    for _ in range(count):
        wire.until(b"data: {")


def test_a_thousand_live_streams(start):
    """1,000 streams that wait for their turn, behind one that is read and one that is not.

    Catches a table, tick or list of suspended connections that fails at this size: streams that get
    no comments, a running stream or /health that starves meanwhile, an unread stream that blocks
    others or loses its place, and anything that 1,000 disconnects at once leave behind."""
    server = start("--max-num-seqs", "2", "--max-queue", "1100", "--sse-keepalive-s", "1",
                   "--stall-timeout-s", "600", "--output-buffer-bytes", "16MiB", "--threads", "1")
    question = {"prompt": "The capital of France is", "max_tokens": 16, "temperature": 0}
    before = server.complete(**question)["choices"][0]["text"]
    endless = {**LONG, "max_tokens": 8000}
    wires = []
    with Wire(server.port) as steady, Wire(server.port, receive_buffer=4096) as slow, \
            Wire(server.port) as other:
        for wire in (steady, slow):
            wire.request("POST", TEXT, endless)
        steady.until(b"data: {")
        slow.until(b"data: {")
        try:
            for i in range(1000):
                wires.append(waiting_stream(server.port, i))
            for wire in wires:
                status, headers = wire.head()
                assert status == 200
                assert headers["content-type"].startswith("text/event-stream")
            for _ in range(2):
                said = [wire.until(b": keep-alive") for wire in wires]
                read_tokens(steady, 5)
                other.request("GET", "/health")
                assert other.response()[0] == 200
            # The prefill worker computes first tokens for a few at the front; the rest wait.
            assert sum(b"data: " in text for text in said) <= 10
            metrics = server.metrics()
            assert metrics.value("tandem:num_requests_live") == 1002
            assert metrics.value("tandem:http_streams") == 1002
            assert metrics.value("tandem:num_requests_waiting") >= 990
        finally:
            for i, wire in enumerate(wires):
                wire.reset() if i % 3 else wire.socket.close()
        read_tokens(steady, 5)
        for _ in range(50):  # from the first one on, although nobody read for so long
            slow.until(b"data: {")
    server.wait_idle()
    metrics = server.metrics()
    assert metrics.value("tandem:http_streams") == 0
    assert metrics.value("tandem:http_requests_client_disconnected_total") == 1002
    assert metrics.value("tandem:slow_clients_cancelled_total") == 0
    assert server.complete(**question)["choices"][0]["text"] == before


READER = """
import socket, sys
wire = socket.socket()
wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
wire.connect(("127.0.0.1", int(sys.argv[1])))
wire.sendall(sys.stdin.buffer.read())
while wire.recv(512):
    print("got", flush=True)
"""


def test_stopped_client_is_cancelled(start):
    """A client that kill -STOP froze in the middle of its stream loses its request, not more."""
    server = start("--stall-timeout-s", "1", "--output-buffer-bytes", "4KiB")
    text = json.dumps({**LONG, "logprobs": 5}).encode()
    request = (f"POST {TEXT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
               f"Content-Length: {len(text)}\r\n\r\n").encode() + text
    client = subprocess.Popen([sys.executable, "-c", READER, str(server.port)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        client.stdin.write(request)
        client.stdin.close()
        client.stdout.readline()
        os.kill(client.pid, signal.SIGSTOP)
        answer = server.complete("The capital of France is", temperature=0, max_tokens=4)
        assert answer["choices"][0]["text"] == " Paris.\n\n"
        server.wait_idle(60)
        assert server.metrics().value("tandem:generation_tokens_total") < 1200
    finally:
        os.kill(client.pid, signal.SIGCONT)
        client.kill()
        client.wait()
        client.stdout.close()


@pytest.mark.parametrize("pieces", [1, 7])
def test_request_in_pieces(server, pieces):
    """A request that arrives byte by byte is the same request."""
    text = json.dumps({**SHORT, "stream": False}).encode()
    data = (f"POST {TEXT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(text)}\r\n\r\n").encode() + text
    with Wire(server.port) as wire:
        for at in range(0, len(data), pieces):
            wire.send(data[at:at + pieces])
        status, _, answer = wire.response()
    assert status == 200
    assert json.loads(answer)["choices"][0]["text"].startswith(" Paris.")


def test_two_requests_on_one_connection(server):
    with Wire(server.port) as wire:
        for _ in range(2):
            wire.request("POST", TEXT, {**SHORT, "stream": False})
            status, _, answer = wire.response()
            assert status == 200 and b" Paris." in answer
