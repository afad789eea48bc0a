"""Bodies that take seconds to parse and tokenise hold nobody else up, and are bounded."""

import json
import pathlib
import select
import signal
import time

import httpx
import pytest

from test_errors import CHAT, TEXT, check_error
from wire import Wire

# Many prompts that just fit, and at the end one that does not: seconds of work, no token computed.
SPACES = " " * 500_000
LARGE = json.dumps({"prompt": [SPACES] * 15 + ["x " * 200_000], "max_tokens": 1}).encode()


def answered(wire):
    return bool(wire.received or select.select([wire.socket], [], [], 0)[0])


def read_refusal(wire):
    status, headers = wire.head()
    assert status == 400
    error = json.loads(wire.exactly(int(headers["content-length"])))["error"]
    assert error["code"] == "context_length_exceeded"


def test_others_are_served_meanwhile(server):
    with Wire(server.port, seconds=300) as wire:
        wire.request("POST", TEXT, LARGE)
        for _ in range(20):
            assert httpx.get(server.url + "/health", timeout=60).status_code == 200
        assert server.complete("Hello", max_tokens=1)["usage"]["completion_tokens"] == 1
        assert not answered(wire), "the large body came first"
        read_refusal(wire)


def text_ticks(server):
    """Processor time of the text thread so far."""
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == "text":
            fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
    raise AssertionError("the server has no text thread")


def wait_worked_on(server, before):
    """Until the body was read to its end and work on it began."""
    until = time.monotonic() + 60
    while text_ticks(server) == before and time.monotonic() < until:
        time.sleep(0.01)


def test_client_leaves_meanwhile(server):
    def gone():
        return server.metrics().value("tandem:http_requests_client_disconnected_total")

    before = gone()
    ticks = text_ticks(server)
    with Wire(server.port, seconds=300) as last:
        with Wire(server.port) as first:
            first.request("POST", TEXT, LARGE)
            wait_worked_on(server, ticks)
        last.request("POST", TEXT, LARGE)
        read_refusal(last)
    assert gone() == before + 1


def test_stop_meanwhile(start):
    server = start()
    with Wire(server.port, seconds=300) as wire:
        wire.request("POST", TEXT, LARGE)
        wait_worked_on(server, 0)
        server.signal(signal.SIGTERM)
        read_refusal(wire)
    assert server.wait_end() == 0


def test_second_signal_meanwhile(start):
    server = start()
    with Wire(server.port, seconds=300) as wire:
        wire.request("POST", TEXT, LARGE)
        wait_worked_on(server, 0)
        server.signal(signal.SIGTERM)
        while httpx.get(server.url + "/ready", timeout=60).status_code != 503:
            pass
        server.signal(signal.SIGTERM)
        assert wire.head()[0] == 503
    assert server.wait_end() == 0


@pytest.mark.parametrize("path, body, status, code", [
    (CHAT, b'{"metadata":[' + b"{}," * 2_700_000 + b"{}]}", 400, "invalid_json"),
    ("/tokenize", b'{"prompt":"' + b"x" * (1 << 20) + b'"}', 413, "request_too_large"),
    ("/detokenize", b'{"tokens":[' + b"1," * (1 << 19) + b"1]}", 413, "request_too_large"),
])
def test_limits(server, path, body, status, code):
    with server.http() as http:
        answer = http.post(path, content=body, headers={"Content-Type": "application/json"})
    check_error(answer, status, code)


def test_large_and_right(server):
    """What takes the way over the text thread comes out as it would have at once."""
    words = " international" * 1300
    tokens = server.tokens(words)
    assert tokens == server.tokens(words[:1400]) * 13
    assert server.post("/detokenize", tokens=tokens).json()["prompt"] == words
    usage = server.complete(words, max_tokens=2)["usage"]
    assert usage["prompt_tokens"] == len(tokens)
