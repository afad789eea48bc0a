"""The load client's reading of a stream (bench/serving.py): wrong here means wrong figures."""

import asyncio
import importlib.util
import json
import math
import pathlib
import types

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "bench" / "serving.py"
spec = importlib.util.spec_from_file_location("serving", SCRIPT)
serving = importlib.util.module_from_spec(spec)
spec.loader.exec_module(serving)

ROLE = {"choices": [{"delta": {"role": "assistant", "content": None}}]}
EMPTY = {"choices": [{"delta": {"content": ""}}]}
USAGE = {"choices": [], "usage": {"completion_tokens": 3}}


def text(word):
    return {"choices": [{"delta": {"content": word}}]}


def event(chunk):
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def chunked(pieces):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def read_in(raw, size, tokens=3):
    """A stream that read `raw` in pieces of `size` bytes, the n-th at time n."""
    parts = [raw[at : at + size] for at in range(0, len(raw), size)]
    reads = [(float(n), part) for n, part in enumerate(parts)]
    return types.SimpleNamespace(reads=reads, sent=-1.0, tokens=tokens)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_times_are_those_of_each_events_last_byte(size):
    """Catches a time taken from the wrong read when events and reads do not align."""
    events = [event(ROLE), event(text("a")), event(EMPTY), b": ping\n\n", event(text("b"))]
    events += [event(USAGE), b"data: [DONE]\n\n"]
    # Transfer chunks that cut the events elsewhere than the reads do.
    body = b"".join(events)
    raw = chunked([body[at : at + 50] for at in range(0, len(body), 50)])
    answer = serving.parse(read_in(raw, size))
    assert (answer.error, answer.tokens, len(answer.times)) == ("", 3, 2)
    if size == 1:
        last = body.index(event(text("b"))) + len(event(text("b"))) - 1
        framing = raw.index(b"\r\n\r\n") + 4 + (last // 50) * 6 + 4
        assert answer.times[1] == framing + last


def test_role_and_empty_chunks_are_not_first_tokens():
    """Catches a TTFT flattered by a server that sends the role at once."""
    raw = chunked([event(ROLE), event(EMPTY)])
    answer = serving.parse(read_in(raw, 10_000))
    assert answer.times == [] and math.isnan(answer.ttft)


@pytest.mark.parametrize(
    "raw, error",
    [
        (b"", "no response"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "503"),
        (chunked([event(text("a"))]), "[DONE]"),
        (chunked([event(text("a")), b"data: [DONE]\n\n"]), "1 tokens instead of 3"),
        (chunked([event({"error": {"message": "gone"}}), b"data: [DONE]\n\n"]), "gone"),
    ],
)
def test_an_incomplete_answer_is_a_failure(raw, error):
    """Catches a refused or cut-off request that would count as a fast one."""
    assert error in serving.parse(read_in(raw, 10_000)).error


def test_prompts_have_their_length_and_no_common_prefix():
    """Catches prompts that a prefix cache could serve, or that change between two runs."""
    texts = [serving.prompt(100, "users", 8, rnd, user) for rnd in (0, 1) for user in range(8)]
    assert all(len(t.split()) == 100 for t in texts)
    assert len({t.split()[0] for t in texts}) == len(texts)
    assert texts[3] == serving.prompt(100, "users", 8, 0, 3)


def test_gap_open_at_the_cut_counts():
    """Catches a stalled stream whose stall is left out because no token ended it."""

    async def values():
        done = chunked([event(text("a")), event(text("b"))])
        stream = read_in(done, len(done) // 2)
        return serving.gap_values([stream], [], [stream], 0.5, 2.0, 9.0)[0]

    # Chunks at 0 (or 1) and 1; the stream is cut at 9, so the last gap is 8 s.
    assert asyncio.run(values())["4 chats under long prompts: longest gap"] == 8000.0


def test_refused_chats_end_the_scenario():
    """Catches a driver that sends chats for ever to a server that refuses them all."""

    async def refuse(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def run():
        listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with listener:
            return await serving.gaps(types.SimpleNamespace(port=port, model_id="m"), 0)

    serving.WINDOW_SECONDS, serving.ARRIVAL_SECONDS = 0.2, 0.1
    values, failures = asyncio.run(run())
    assert values == {} and len(failures) >= serving.CHATS
