"""Each generation parameter does what its documentation says."""

import json
import math

import pytest

PROMPT = "Once upon a time, in a small village,"
GREEDY = {"temperature": 0, "max_tokens": 24, "ignore_eos": True}


def text_of(answer):
    return answer["choices"][0]["text"]


@pytest.fixture
def greedy(server):
    return text_of(server.complete(PROMPT, **GREEDY))


def test_greedy_repeats(server, greedy):
    assert text_of(server.complete(PROMPT, **GREEDY)) == greedy


@pytest.mark.parametrize("parameters", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}])
def test_narrow_sampling_is_greedy(server, greedy, parameters):
    assert text_of(server.complete(PROMPT, **{**GREEDY, "temperature": 1.5}, **parameters)) \
        == greedy


def test_seed(server):
    texts = {}
    for seed in (1, 2, 3, 1, 2, 3):
        text = text_of(server.complete(PROMPT, **{**GREEDY, "temperature": 1.0}, seed=seed))
        assert texts.setdefault(seed, text) == text, "the same seed gave another text"
    assert len(set(texts.values())) == 3, "the seed changes nothing"


def test_no_seed_means_another_text(server):
    texts = {text_of(server.complete(PROMPT, **{**GREEDY, "temperature": 1.0})) for _ in range(3)}
    assert len(texts) == 3


def test_temperature_flattens(server):
    """At temperature 2 the likeliest token is drawn less often than at 0.5."""
    def hits(temperature):
        best = text_of(server.complete(PROMPT, temperature=0, max_tokens=1))
        answers = (server.complete(PROMPT, temperature=temperature, max_tokens=1, seed=seed)
                   for seed in range(24))
        return sum(text_of(a) == best for a in answers)

    assert hits(0.5) > hits(2)


def test_stop_string_over_token_borders(server, greedy):
    """Every place to cut: the text ends exactly before the first occurrence."""
    for at in (3, 9, 17):
        stop = greedy[at:at + 7]
        expected = greedy[:greedy.index(stop)]
        answer = server.complete(PROMPT, **GREEDY, stop=stop)
        assert text_of(answer) == expected
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert answer["usage"]["completion_tokens"] < GREEDY["max_tokens"]


def test_stop_string_streamed(server, greedy):
    """No part of the stop string may be sent before it is known to be one."""
    stop = greedy[9:16]
    with server.http() as http, http.stream(
            "POST", "/v1/completions",
            json={"prompt": PROMPT, **GREEDY, "stop": [stop, "\1never"], "stream": True}) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data: {")]
    parts = [json.loads(line[6:]) for line in lines]
    assert "".join(p["choices"][0]["text"] for p in parts) == greedy[:greedy.index(stop)]
    assert parts[-1]["choices"][0]["finish_reason"] == "stop"


def test_stop_string_included(server, greedy):
    stop = greedy[9:16]
    answer = server.complete(PROMPT, **GREEDY, stop=stop, include_stop_str_in_output=True)
    assert text_of(answer) == greedy[:greedy.index(stop) + len(stop)]


def test_stop_that_never_comes_holds_nothing_back(server, greedy):
    stop = greedy[-3:] + "\1"
    assert text_of(server.complete(PROMPT, **GREEDY, stop=stop)) == greedy


def test_stop_token_ids(server, greedy):
    answer = server.complete(PROMPT, **GREEDY, return_token_ids=True)
    ids = answer["choices"][0]["token_ids"]
    parameters = {**GREEDY, "ignore_eos": False, "stop_token_ids": [ids[5]]}
    stopped = server.complete(PROMPT, **parameters, return_token_ids=True)
    first = ids.index(ids[5])
    assert stopped["choices"][0]["finish_reason"] == "stop"
    assert stopped["choices"][0]["token_ids"][:first] == ids[:first]
    assert stopped["usage"]["completion_tokens"] == first + 1


def test_min_tokens(server):
    """The model ends its answer early by itself; min_tokens forbids that."""
    question = "Say hi."
    free = server.chat(question, temperature=0, max_tokens=200)
    assert free["choices"][0]["finish_reason"] == "stop"
    count = free["usage"]["completion_tokens"]
    held = server.chat(question, temperature=0, max_tokens=count + 20, min_tokens=count + 10)
    assert held["usage"]["completion_tokens"] >= count + 10


def test_max_tokens_and_ignore_eos(server):
    for name in ("max_tokens", "max_completion_tokens"):
        answer = server.chat("Say hi.", temperature=0, ignore_eos=True, **{name: 60})
        assert answer["usage"]["completion_tokens"] == 60
        assert answer["choices"][0]["finish_reason"] == "length"


def test_logit_bias(server):
    answer = server.complete(PROMPT, **GREEDY, return_token_ids=True)
    first = answer["choices"][0]["token_ids"][0]
    banned = server.complete(PROMPT, **GREEDY, return_token_ids=True,
                             logit_bias={str(first): -100})
    assert first not in banned["choices"][0]["token_ids"]
    forced = server.complete(PROMPT, **GREEDY, return_token_ids=True, logit_bias={"42": 100})
    assert set(forced["choices"][0]["token_ids"]) == {42}


@pytest.mark.parametrize("penalty", [{"frequency_penalty": 2}, {"presence_penalty": 2},
                                     {"repetition_penalty": 1.8}])
def test_penalties_reduce_repetition(server, penalty):
    def kinds(**parameters):
        answer = server.complete("ha ha ha ha ha ha ha ha", **{**GREEDY, "max_tokens": 40},
                                 return_token_ids=True, **parameters)
        return len(set(answer["choices"][0]["token_ids"]))

    assert kinds(**penalty) > kinds()


def test_echo(server, greedy):
    answer = server.complete(PROMPT, **GREEDY, echo=True)
    assert text_of(answer) == PROMPT + greedy


def test_usage(server):
    answer = server.complete(PROMPT, **GREEDY)
    prompt = len(server.tokens(PROMPT))
    assert answer["usage"]["prompt_tokens"] == prompt
    assert answer["usage"]["completion_tokens"] == GREEDY["max_tokens"]
    assert answer["usage"]["total_tokens"] == prompt + GREEDY["max_tokens"]


def test_chat_logprobs(server):
    answer = server.chat("Name a colour.", temperature=0, max_tokens=12, logprobs=True,
                         top_logprobs=5)
    entries = answer["choices"][0]["logprobs"]["content"]
    assert len(entries) == answer["usage"]["completion_tokens"] or \
        len(entries) == answer["usage"]["completion_tokens"] - 1  # the end token has no text
    written = b"".join(bytes(e["bytes"]) for e in entries).decode()
    assert written == answer["choices"][0]["message"]["content"]
    for entry in entries:
        values = [top["logprob"] for top in entry["top_logprobs"]]
        assert len(values) == 5 and values == sorted(values, reverse=True)
        assert entry["logprob"] == values[0], "greedy takes the likeliest"
        assert sum(map(math.exp, values)) <= 1.0001
        assert entry["token"] == entry["top_logprobs"][0]["token"]


def test_completion_logprobs(server):
    answer = server.complete(PROMPT, **GREEDY, logprobs=3)
    logprobs = answer["choices"][0]["logprobs"]
    assert len(logprobs["tokens"]) == len(logprobs["token_logprobs"]) == GREEDY["max_tokens"]
    assert "".join(logprobs["tokens"]) == text_of(answer)
    for token, value, top in zip(logprobs["tokens"], logprobs["token_logprobs"],
                                 logprobs["top_logprobs"]):
        assert value <= 0 and len(top) >= 3 and math.isclose(max(top.values()), top[token])


def test_unknown_fields_are_ignored(server, greedy):
    answer = server.complete(PROMPT, **GREEDY, user="someone", metadata={"a": "b"}, store=True,
                             a_field_of_tomorrow=[1, 2, 3])
    assert text_of(answer) == greedy
