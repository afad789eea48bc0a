"""A full queue refuses at once, with a time to come back, and what was accepted is answered."""

import concurrent.futures
import time

from wire import Wire

TEXT = "/v1/completions"
LONG = {"prompt": "a", "max_tokens": 1000, "ignore_eos": True, "stream": True}


def test_full_queue(start):
    server = start("--max-num-seqs", "2", "--max-queue", "2", "--roles", "both")
    wires = []
    refusal = None
    for _ in range(8):
        wire = Wire(server.port)
        wire.request("POST", TEXT, LONG)
        status, headers = wire.head()
        if status != 200:
            refusal = (status, headers, wire.exactly(int(headers["content-length"])))
            wire.socket.close()
            break
        wires.append(wire)
    assert refusal, "eight requests were accepted into a queue of four"
    status, headers, body = refusal
    assert status == 503
    assert int(headers["retry-after"]) >= 1
    assert b'"error"' in body
    assert len(wires) == 4
    for wire in wires[1:]:
        wire.reset()
    # Room again as soon as the workers have let the others go, within an iteration.
    until = time.monotonic() + 60
    while server.metrics().value("tandem:num_requests_live") > 1 and time.monotonic() < until:
        time.sleep(0.01)
    answer = server.post(TEXT, prompt="The capital of France is", temperature=0, max_tokens=4)
    assert answer.status_code == 200
    wires[0].reset()
    server.wait_idle()


def test_everything_accepted_is_answered(start):
    """More at once than run: all of them end, in full, in order of nothing but their own."""
    server = start("--max-num-seqs", "4", "--max-queue", "200")
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(
            lambda i: server.complete(f"Item {i}:", max_tokens=1 + i % 7, ignore_eos=True),
            range(100)))
    for i, answer in enumerate(answers):
        assert answer["usage"]["completion_tokens"] == 1 + i % 7
    server.wait_idle()
