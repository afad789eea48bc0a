"""Requests whose end can be read in two ways are refused, and nothing behind them is a request."""

import json

import pytest

from wire import Wire

HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
SECOND = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"0\r\n\r\n"

# What stands behind HEAD; a reader who takes the other reading finds SECOND as a request.
AMBIGUOUS = {
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + CHUNKED,
    "two lengths": b"Content-Length: 2\r\nContent-Length: 36\r\n\r\n{}",
    "a length twice": b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": b"Content-Length: 2\r\ncontent-length: 2, 2\r\n\r\n{}",
    "blank before the colon": b"Content-Length : 36\r\n\r\n",
    "tab before the colon": b"Content-Length\t: 36\r\n\r\n",
    "blank before the colon of chunks": b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKED,
    "gzip": b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED,
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "identity": b"Transfer-Encoding: identity\r\n\r\n",
    "unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n",
    "two hosts": b"Host: y\r\nContent-Length: 2\r\n\r\n{}",
}


def everything(wire):
    data = b""
    while part := wire.socket.recv(65536):
        data += part
    return data


def check_refused_and_closed(server, request):
    with Wire(server.port, seconds=20) as wire:
        wire.send(request + SECOND)
        data = everything(wire)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), data
    assert b"connection: close" in head.lower()
    assert b"\r\nX-Request-Id: " in head
    assert data.count(b"HTTP/1.1 ") == 1, f"the rest was taken for a request: {data!r}"
    assert json.loads(body)["error"]["code"] == "invalid_header"


@pytest.mark.parametrize("rest", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_ambiguous_request(server, rest):
    check_refused_and_closed(server, HEAD + rest)


def test_ambiguous_request_without_a_body(server):
    check_refused_and_closed(server, b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                                     b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED)


def test_host_is_needed(server):
    check_refused_and_closed(server, b"GET /health HTTP/1.1\r\n\r\n")
    with Wire(server.port) as wire:
        wire.send(b"GET /health HTTP/1.0\r\n\r\n")
        assert wire.response()[0] == 200


def test_chunks_in_http_1_0(server):
    check_refused_and_closed(server, b"POST /v1/completions HTTP/1.0\r\n"
                                     b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED)


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked"])
def test_plain_chunks_still_pass(server, coding):
    body = json.dumps({"prompt": "Hello", "max_tokens": 1}).encode()
    with Wire(server.port) as wire:
        for _ in range(2):
            wire.send(HEAD + b"Transfer-Encoding: " + coding + b"\r\n\r\n%x\r\n" % len(body) +
                      body + b"\r\n" + CHUNKED)
            assert wire.response()[0] == 200


def test_absolute_target(server):
    with Wire(server.port) as wire:
        for target in ("http://x/health", "HTTP://localhost:80/health?a=b", "https://x/health"):
            wire.request("GET", target)
            assert wire.response()[0] == 200
        for target in ("http://x", "http://x/nowhere", "ftp://x/health"):
            wire.request("GET", target)
            assert wire.response()[0] == 404
