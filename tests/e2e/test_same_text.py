"""The answer does not depend on the load: the same request gives the same bytes, alone or among
others, whatever the token budget, the workers' roles and the transport.

Greedy and seeded requests are compared with their log probabilities, so a difference in the last
bit of a logit shows even where the text happens to agree.
"""

import concurrent.futures
import json

import pytest

from serving import Serving

STORY = ("The lighthouse keeper counted the ships that passed in the night and wrote their names "
         "into a book with a green cover. ")
PARAMETERS = {"max_tokens": 40, "ignore_eos": True, "logprobs": 5}
PROBES = [
    {"prompt": "The capital of France is", "temperature": 0},
    {"prompt": STORY * 3 + "One night", "temperature": 0, "frequency_penalty": 0.5},
    {"prompt": STORY * 16 + "In the end", "temperature": 0},
    {"prompt": "Dear Sir or Madam,", "temperature": 1.0, "seed": 7},
    {"prompt": STORY * 2, "temperature": 0.8, "top_p": 0.9, "seed": 1234567890123},
    {"prompt": STORY * 9, "temperature": 1.3, "top_k": 50, "min_p": 0.02, "seed": -5,
     "repetition_penalty": 1.1},
]
# 32 others: short and long prompts, short and long answers.
NOISE = [{"prompt": f"Number {i}: " + STORY * (1 + i * 7 % 12), "temperature": 1, "seed": i,
          "max_tokens": 8 + i * 5 % 40, "ignore_eos": True} for i in range(32)]

ARRANGEMENTS = {
    "defaults": (),
    "budget 16": ("--max-num-batched-tokens", "16", "--max-num-seqs", "16"),
    "budget 64": ("--max-num-batched-tokens", "64"),
    "budget 512": ("--max-num-batched-tokens", "512"),
    "one worker": ("--roles", "both"),
    "copying transport": ("--transport", "copy"),
    "one thread": ("--threads", "1"),
    "three threads": ("--threads", "3"),
}


def choices(server, body):
    return json.dumps(server.complete(**{**PARAMETERS, **body})["choices"], sort_keys=True)


@pytest.fixture(scope="module")
def alone(shared):
    """Each probe with nothing beside it."""
    return [choices(shared, probe) for probe in PROBES]


# Prompts of one page that grow to a dozen: more than there is room for in test_under_preemption.
GROWING = [{"prompt": f"Number {i}:", "temperature": 1, "seed": i, "max_tokens": 180,
            "ignore_eos": True} for i in range(14)]


def among_others(server, others=NOISE):
    with concurrent.futures.ThreadPoolExecutor(len(others) + len(PROBES)) as pool:
        noise = [pool.submit(server.complete, **body) for body in others[::2]]
        probes = [pool.submit(choices, server, body) for body in PROBES]
        noise += [pool.submit(server.complete, **body) for body in others[1::2]]
        for one in noise:
            assert one.result()["choices"][0]["finish_reason"] == "length"
        return [one.result() for one in probes]


def test_alone_twice(shared, alone):
    assert [choices(shared, probe) for probe in PROBES] == alone


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_among_32_others(arrangement, alone):
    server = Serving(*ARRANGEMENTS[arrangement])
    try:
        assert among_others(server) == alone
        server.wait_idle()
    finally:
        server.stop()


@pytest.mark.parametrize("roles", ["both", "split"])
def test_under_preemption(roles, alone):
    """So little memory that requests lose their pages and are computed again."""
    server = Serving("--roles", roles, "--max-model-len", "1024", "--kv-memory",
                     "25MiB" if roles == "both" else "50MiB")
    try:
        assert among_others(server, GROWING) == alone
        assert server.metrics().value("tandem:num_preemptions_total") > 0
        server.wait_idle()
    finally:
        server.stop()


def test_streamed_text_is_the_same(shared, alone):
    """Streaming cuts the text elsewhere but gives the same bytes."""
    for probe, expected in zip(PROBES, alone):
        body = {**PARAMETERS, **probe, "stream": True}
        with shared.http() as http, http.stream("POST", "/v1/completions", json=body) as answer:
            parts = [json.loads(line[6:]) for line in answer.iter_lines()
                     if line.startswith("data: {")]
        text = "".join(part["choices"][0]["text"] for part in parts)
        assert text == json.loads(expected)[0]["text"]
