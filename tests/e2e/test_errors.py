"""Every refusal has its status, its error object, and leaves nothing behind."""

import json

import pytest

from serving import NAME
from wire import Wire

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
HELLO = [{"role": "user", "content": "Hello"}]

# (path, body, status, code, param)
BODIES = [
    (CHAT, {"messages": HELLO, "model": "nobody"}, 404, "model_not_found", "model"),
    (CHAT, {"messages": HELLO, "model": 7}, 400, "invalid_type", "model"),
    (CHAT, {}, 400, "missing_parameter", "messages"),
    (CHAT, {"messages": []}, 400, "missing_parameter", "messages"),
    (CHAT, {"messages": "Hello"}, 400, "invalid_type", "messages"),
    (CHAT, {"messages": ["Hello"]}, 400, "invalid_type", "messages[0]"),
    (CHAT, {"messages": [{"role": "wizard", "content": "x"}]}, 400, "invalid_value",
     "messages[0].role"),
    (CHAT, {"messages": HELLO + [{"role": "user"}]}, 400, "missing_parameter",
     "messages[1].content"),
    (CHAT, {"messages": [{"role": "user", "content": 3}]}, 400, "invalid_type",
     "messages[0].content"),
    (CHAT, {"messages": HELLO, "temperature": 3}, 400, "invalid_value", "temperature"),
    (CHAT, {"messages": HELLO, "temperature": -0.1}, 400, "invalid_value", "temperature"),
    (CHAT, {"messages": HELLO, "temperature": "hot"}, 400, "invalid_type", "temperature"),
    (CHAT, {"messages": HELLO, "top_p": 1.5}, 400, "invalid_value", "top_p"),
    (CHAT, {"messages": HELLO, "min_p": -1}, 400, "invalid_value", "min_p"),
    (CHAT, {"messages": HELLO, "top_k": -2}, 400, "invalid_value", "top_k"),
    (CHAT, {"messages": HELLO, "presence_penalty": 2.5}, 400, "invalid_value",
     "presence_penalty"),
    (CHAT, {"messages": HELLO, "frequency_penalty": -9}, 400, "invalid_value",
     "frequency_penalty"),
    (CHAT, {"messages": HELLO, "max_tokens": 0}, 400, "invalid_value", "max_tokens"),
    (CHAT, {"messages": HELLO, "max_tokens": 1.5}, 400, "invalid_type", "max_tokens"),
    (CHAT, {"messages": HELLO, "max_completion_tokens": -1}, 400, "invalid_value",
     "max_completion_tokens"),
    (CHAT, {"messages": HELLO, "max_tokens": 4, "min_tokens": 5}, 400, "invalid_value",
     "min_tokens"),
    (CHAT, {"messages": HELLO, "stream": "yes"}, 400, "invalid_type", "stream"),
    (CHAT, {"messages": HELLO, "stream_options": []}, 400, "invalid_type", "stream_options"),
    (CHAT, {"messages": HELLO, "stop": ["x"] * 17}, 400, "invalid_value", "stop"),
    (CHAT, {"messages": HELLO, "stop": 5}, 400, "invalid_type", "stop"),
    (CHAT, {"messages": HELLO, "stop": ""}, 400, "invalid_value", "stop"),
    (CHAT, {"messages": HELLO, "top_logprobs": 5}, 400, "invalid_value", "top_logprobs"),
    (CHAT, {"messages": HELLO, "logprobs": True, "top_logprobs": 21}, 400, "invalid_value",
     "top_logprobs"),
    (CHAT, {"messages": HELLO, "logit_bias": {"5": 101}}, 400, "invalid_value", "logit_bias"),
    (CHAT, {"messages": HELLO, "logit_bias": {"x": 1}}, 400, "invalid_value", "logit_bias"),
    (CHAT, {"messages": HELLO, "logit_bias": {"99999999": 1}}, 400, "invalid_value",
     "logit_bias"),
    (CHAT, {"messages": HELLO, "seed": "x"}, 400, "invalid_type", "seed"),
    (CHAT, {"messages": HELLO, "n": 129}, 400, "invalid_value", "n"),
    (CHAT, {"messages": HELLO, "n": 2}, 400, "unsupported_parameter", "n"),
    (CHAT, {"messages": HELLO, "tools": [{"type": "function"}]}, 400, "unsupported_parameter",
     "tools"),
    (CHAT, {"messages": HELLO, "response_format": {"type": "json_object"}}, 400,
     "unsupported_parameter", "response_format"),
    (TEXT, {}, 400, "missing_parameter", "prompt"),
    (TEXT, {"prompt": 5}, 400, "invalid_type", "prompt"),
    (TEXT, {"prompt": []}, 400, "invalid_type", "prompt"),
    (TEXT, {"prompt": [1, -4]}, 400, "invalid_value", "prompt"),
    (TEXT, {"prompt": [10 ** 9]}, 400, "invalid_value", "prompt"),
    (TEXT, {"prompt": "x", "logprobs": 6}, 400, "invalid_value", "logprobs"),
    (TEXT, {"prompt": "x", "best_of": 4}, 400, "unsupported_parameter", "best_of"),
    (TEXT, {"prompt": "x", "suffix": "y"}, 400, "unsupported_parameter", "suffix"),
    ("/tokenize", {}, 400, "missing_parameter", "prompt"),
    ("/detokenize", {"tokens": ["a"]}, 400, None, "tokens"),
]


def check_error(answer, status, code=None, param=None):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and len(error["message"]) < 600
    assert error["type"].endswith("_error")
    assert error["param"] == param
    if code:
        assert error["code"] == code
    return error


@pytest.mark.parametrize("path,body,status,code,param", BODIES,
                         ids=[f"{i}-{b[4]}" for i, b in enumerate(BODIES)])
def test_body(server, path, body, status, code, param):
    check_error(server.post(path, **body), status, code, param)


def test_unknown_model_names_the_known_one(server):
    error = server.post(CHAT, messages=HELLO, model="nobody").json()["error"]
    assert NAME in error["message"]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"5", b'{"messages": \xff}', b"{} trailing",
                                  b"[" * 5000])
def test_body_that_is_no_json_object(server, text):
    with server.http() as http:
        answer = http.post(CHAT, content=text, headers={"Content-Type": "application/json"})
    check_error(answer, 400)


def test_large_integers(server):
    """Legal JSON: passed over where nobody reads it, out of range where somebody does."""
    answer = server.post(TEXT, prompt="Hello", max_tokens=1, metadata={"id": 2 ** 64 + 5})
    assert answer.status_code == 200, answer.text
    error = check_error(server.post(TEXT, prompt="Hello", seed=2 ** 63), 400, "invalid_value",
                        "seed")
    assert str(2 ** 63 - 1) in error["message"]


def test_batch_beyond_the_server(start):
    """Nothing a client should send again, unlike a full queue."""
    server = start("--max-num-seqs", "2", "--max-queue", "3")
    error = check_error(server.post(TEXT, prompt=["a"] * 6, max_tokens=1), 400, "invalid_value",
                        "prompt")
    assert "5" in error["message"]
    assert len(server.complete(["a"] * 5, max_tokens=1)["choices"]) == 5


def test_broken_json_says_where(server):
    with server.http() as http:
        answer = http.post(CHAT, content=b'{"messages": [}',
                           headers={"Content-Type": "application/json"})
    assert "byte offset 14" in check_error(answer, 400)["message"] or \
        "byte offset 15" in answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_prompt_beyond_the_context(server, stream):
    """Refused before the stream begins, with both numbers, in words that clients look for."""
    answer = server.post(TEXT, prompt="word " * 20000, stream=stream)
    error = check_error(answer, 400, "context_length_exceeded", "prompt")
    assert "maximum context length" in error["message"]
    assert any(c.isdigit() for c in error["message"])


def test_prompt_and_answer_beyond_the_context(server):
    answer = server.post(TEXT, prompt="Hello", max_tokens=10 ** 6)
    check_error(answer, 400, "context_length_exceeded", "max_tokens")


def test_paths_and_methods(server):
    with server.http() as http:
        check_error(http.get("/nowhere"), 404)
        check_error(http.get("/v1/models/nobody"), 404, "model_not_found", "model")
        answer = http.get(CHAT)
        check_error(answer, 405)
        assert "POST" in answer.headers["allow"]
        answer = http.post("/health", json={})
        check_error(answer, 405)
        assert "GET" in answer.headers["allow"]


def test_content_type(server):
    with server.http() as http:
        answer = http.post(CHAT, content=json.dumps({"messages": HELLO}),
                           headers={"Content-Type": "text/plain"})
    check_error(answer, 415)


def test_body_too_large(start):
    server = start("--max-body-bytes", "16KiB")
    check_error(server.post(TEXT, prompt="x" * 20000), 413)
    # Announced too large: refused without reading it.
    with Wire(server.port) as wire:
        wire.send(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Content-Length: 999999999\r\n\r\n")
        assert wire.head()[0] == 413
    # Larger than said, in chunks: refused as it passes the limit.
    with Wire(server.port) as wire:
        wire.send(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n")
        wire.send(b"5000\r\n" + b"x" * 0x5000 + b"\r\n0\r\n\r\n")
        assert wire.head()[0] == 413
    assert server.complete("Hello", max_tokens=1)["usage"]["completion_tokens"] == 1


def test_garbage_instead_of_http(server):
    for data in (b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"A" * 70000 + b"\r\n\r\n"):
        with Wire(server.port, seconds=20) as wire:
            try:
                wire.send(data)
                wire.socket.shutdown(1)
                while wire.socket.recv(65536):
                    pass
            except OSError:
                pass  # closing on such a client is right
    assert server.complete("Hello", max_tokens=1)["usage"]["completion_tokens"] == 1


def test_headers_too_large(server):
    with Wire(server.port) as wire:
        wire.request("GET", "/health", headers=["X-Long: " + "y" * 60000])
        assert wire.head()[0] in (400, 413, 431)


GUARDED = [("GET", "/v1/models"), ("GET", "/v1/models/" + NAME), ("POST", CHAT), ("POST", TEXT),
           ("POST", "/tokenize"), ("POST", "/detokenize")]


def test_authentication(start):
    server = start("--api-key", "first", "--api-key", "second")
    with server.http() as http:
        for path in ("/health", "/ready", "/metrics", "/version"):
            for headers in ({}, {"Authorization": "Bearer third"}):
                assert http.get(path, headers=headers).status_code == 200, path
        for method, path in GUARDED:
            bare = http.request(method, path, json={})
            check_error(bare, 401, "invalid_api_key")
            assert bare.headers["www-authenticate"] == "Bearer"
            known = http.request(method, path, json={},
                                 headers={"Authorization": "Bearer second"})
            assert known.status_code in (200, 400), (path, known.text)
        for key in (None, "third", "firs", "firstx", "first second"):
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            answer = http.post(TEXT, json={"prompt": "x", "max_tokens": 1}, headers=headers)
            check_error(answer, 401)
            assert http.get("/v1/models", headers=headers).status_code == 401
        for key in ("first", "second"):
            answer = http.post(TEXT, json={"prompt": "x", "max_tokens": 1},
                               headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 200
