"""Clients that go away: whatever state their request is in, its memory comes back."""

import asyncio
import json
import random
import time

import pytest

from wire import Wire

WORDS = "river stone lantern window harbour letter winter engine garden mirror"
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def body_of(chance):
    words = WORDS.split()
    prompt = " ".join(chance.choices(words, k=chance.choice((3, 30, 200, 600))))
    body = {"max_tokens": chance.choice((1, 30, 400)), "ignore_eos": True,
            "stream": chance.random() < 0.6, "temperature": 1}
    if chance.random() < 0.5:
        return TEXT, {"prompt": prompt, **body}
    return CHAT, {"messages": [{"role": "user", "content": prompt}], **body}


async def ask_and_leave(port, chance):
    """Sends a request, waits for a random time or a random part of the answer, and is gone."""
    path, body = body_of(chance)
    text = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(text)}\r\n\r\n").encode()
    cut = len(text) // 2 if chance.random() < 0.1 else len(text)
    writer.write(head + text[:cut])
    try:
        await asyncio.wait_for(reader.readexactly(chance.randrange(1, 6000)),
                               chance.choice((0, 0.01, 0.1, 0.5, 2)))
    except (asyncio.TimeoutError, asyncio.IncompleteReadError):
        pass
    if chance.random() < 0.5:
        writer.transport.abort()  # RST
    else:
        writer.close()


async def storm(port, count, at_once, seed):
    gate = asyncio.Semaphore(at_once)

    async def one(i):
        async with gate:
            await ask_and_leave(port, random.Random(seed * 1000 + i))

    await asyncio.gather(*(one(i) for i in range(count)))


@pytest.mark.sanitizer
@pytest.mark.parametrize("flags", [(), ("--roles", "both"), ("--transport", "copy"),
                                   ("--max-num-batched-tokens", "16", "--max-num-seqs", "4")],
                         ids=["split", "both", "copy", "narrow"])
def test_200_cancelled_at_random(start, flags):
    server = start(*flags)
    expected = server.complete("The capital of France is", temperature=0, max_tokens=8)["choices"]
    asyncio.run(storm(server.port, 200, 40, seed=len(flags)))
    server.wait_idle()
    assert server.complete("The capital of France is", temperature=0,
                           max_tokens=8)["choices"] == expected
    assert server.metrics().value("tandem:request_success_total", finished_reason="abort") > 0


@pytest.mark.sanitizer
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("state", ["queued", "prefill", "decode"])
def test_disconnect(start, state, stream):
    """In each state by name; a long request beside it must not notice."""
    server = start("--max-num-seqs", "1" if state == "queued" else "8",
                   "--max-num-batched-tokens", "16")
    body = {"prompt": "word " * (1500 if state == "prefill" else 5), "max_tokens": 1500,
            "ignore_eos": True, "stream": stream}
    if state == "prefill":
        body["max_tokens"] = 5
    with Wire(server.port) as first:
        if state == "queued":
            first.request("POST", TEXT, {"prompt": "a", "max_tokens": 7000, "ignore_eos": True,
                                         "stream": True})
            first.until(b"data: ")
        victim = Wire(server.port)
        victim.request("POST", TEXT, body)
        wait_for_state(server, state, stream, victim)
        victim.reset()
        if state == "queued":
            wait_for(lambda: server.metrics().value("tandem:num_requests_waiting") == 0)
            first.until(b"data: ")
            first.reset()
    server.wait_idle(20)


@pytest.mark.sanitizer
def test_half_a_request_and_gone(start):
    """Half a body whose last bytes come together with the end of the connection."""
    server = start()
    with Wire(server.port) as wire:
        wire.send(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Content-Length: 100\r\n\r\n{")
        wire.socket.shutdown(1)
        assert not wire.socket.recv(1)
    wait_for(lambda: server.metrics().value("tandem:http_connections") == 1, 5)


def wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def wait_for_state(server, state, stream, victim):
    if state == "queued":
        wait_for(lambda: server.metrics().value("tandem:num_requests_waiting") > 0)
    elif state == "prefill":
        wait_for(lambda: server.metrics().value("tandem:kv_pages_used") > 3)
    elif stream:
        for _ in range(5):
            victim.until(b"data: ")
    else:
        wait_for(lambda: server.metrics().value("tandem:generation_tokens_total") > 5)
