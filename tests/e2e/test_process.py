"""The process as an operator sees it: start, refusal to start, health, draining, idleness."""

import json
import os
import signal
import socket
import subprocess
import time

import pytest

import serving
from wire import Wire

TEXT = "/v1/completions"
STREAM = {"prompt": "a", "max_tokens": 150, "ignore_eos": True, "stream": True, "temperature": 0}


def run(*arguments):
    return subprocess.run([serving.PROGRAM, *arguments], capture_output=True, text=True,
                          timeout=120)


def test_version_and_help():
    assert run("--version").stdout.startswith("tandem ")
    answer = run("serve", "--help")
    assert answer.returncode == 0 and "--model" in answer.stdout
    assert run("--help").returncode == 0
    for wrong in ((), ("sing",), ("serve", "--modle", "x")):
        answer = run(*wrong)
        assert answer.returncode not in (0, -6, -11) and answer.stderr


# (config text, what the message must contain)
CONFIGS = [
    ("server:\n  prot: 80\n", [":2:", "prot", "port"]),
    ("sever:\n  port: 80\n", [":1:", "sever", "server"]),
    ("server:\n  port: many\n", [":2:", "port"]),
    ("server:\n  port: 70000\n", [":2:", "port", "65535"]),
    ("scheduler:\n  token_budget: 1\n", [":2:", "token_budget"]),
    ("engine:\n  roles: cook\n", [":2:", "roles", "split"]),
    ("server:\n  port: [80\n", [":"]),
    ("workers:\n  - name: a\n    role: cook\n", ["cook"]),
]


@pytest.mark.parametrize("text,words", CONFIGS, ids=[c[0].split(":")[1].strip() + c[1][-1]
                                                     for c in CONFIGS])
def test_config_errors_say_where(tmp_path, text, words):
    path = tmp_path / "tandem.yaml"
    path.write_text(text)
    answer = run("serve", "--config", str(path), "--model", serving.MODEL)
    assert answer.returncode not in (0, -6, -11)
    for word in [str(path), *words]:
        assert word in answer.stderr, answer.stderr
    assert len(answer.stderr.splitlines()) <= 2, "one fault, one message"


@pytest.mark.parametrize("arguments,words", [
    (("--model", "/nowhere/model.gguf"), ["/nowhere/model.gguf"]),
    (("--model", __file__), [os.path.basename(__file__)]),
    (("--port", "0"), ["model"]),
    (("--model", serving.MODEL, "--cpu-isa", "z80"), ["z80", "avx2"]),
    (("--model", serving.MODEL, "--kv-memory", "1MiB"), ["kv_memory"]),
    (("--model", serving.MODEL, "--max-model-len", "1000000"), ["max_model_len"]),
    (("--config", "/nowhere.yaml"), ["/nowhere.yaml"]),
    # Found before the model is looked at.
    (("--model", "/nowhere/model.gguf", "--host", "no.such.host.invalid"), ["no.such.host"]),
    (("--model", "/nowhere/model.gguf", "--api-key-file", "/nowhere.keys"), ["/nowhere.keys"]),
])
def test_start_errors_name_the_cause(arguments, words):
    answer = run("serve", *arguments)
    assert answer.returncode not in (0, -6, -11)
    for word in words:
        assert word in answer.stderr, answer.stderr


@pytest.mark.parametrize("text,status,word", [
    ("server:\n  api_key_file: /nowhere.keys\n", 2, "/nowhere.keys"),
    ("server:\n  host: no.such.host.invalid\n", 2, "no.such.host"),
    ("workers:\n  - role: prefill\n  - role: decode\n", 0, "correct"),
    ("workers:\n  - {name: a, role: both}\n  - {name: a, role: both}\n", 2, ":3: "),
    ("engine:\n  kv_memory: 1TiB\n", 0, "correct"),
])
def test_config_check(tmp_path, text, status, word):
    path = tmp_path / "tandem.yaml"
    path.write_text(text)
    answer = run("config", "check", str(path))
    assert answer.returncode == status and word in answer.stdout + answer.stderr


def test_sample_configuration_is_accepted(start):
    source = os.path.join(os.path.dirname(__file__), "..", "..", "conf", "tandem.yaml")
    with open(source, encoding="utf-8") as stream:
        server = start(config=stream.read())
    assert server.complete("Hello", max_tokens=1)["usage"]["completion_tokens"] == 1


def test_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = run("serve", "--model", serving.MODEL, "--port", str(port))
    assert answer.returncode not in (0, -6, -11)
    assert str(port) in answer.stderr and "in use" in answer.stderr


def test_health_and_ready(server):
    with server.http() as http:
        assert http.get("/health").status_code == 200
        assert http.get("/ready").status_code == 200


def test_idle_costs_nothing(server):
    server.complete("Hello", max_tokens=2)
    server.wait_idle()
    time.sleep(0.5)
    ticks = server.cpu_ticks()
    time.sleep(2)
    assert server.cpu_ticks() == ticks


def test_drain(start):
    server = start()
    with Wire(server.port) as running, Wire(server.port) as later:
        later.request("GET", "/ready")
        assert later.response()[0] == 200
        running.request("POST", TEXT, STREAM)
        running.until(b"data: ")
        server.signal(signal.SIGTERM)
        status = 200
        until = time.monotonic() + 5
        while status == 200 and time.monotonic() < until:
            later.request("GET", "/ready")
            status, headers, _ = later.response()
        assert status == 503
        assert headers["retry-after"] == "1" and headers["connection"].lower() == "close"
        with Wire(server.port) as refused:
            refused.request("POST", TEXT, {**STREAM, "stream": False})
            status, headers, answer = refused.response()
            assert status == 503 and headers["connection"].lower() == "close"
            assert json.loads(answer)["error"]["message"]
        assert b"data: [DONE]" in running.until(b"data: [DONE]")
    assert server.wait_end() == 0


def test_drain_has_an_end(start):
    """What runs longer than the drain may take ends with an error the client can see."""
    server = start("--drain-timeout-s", "1")
    with Wire(server.port) as running:
        running.request("POST", TEXT, {**STREAM, "max_tokens": 1900})
        running.until(b"data: ")
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        rest = running.until(b"0\r\n\r\n")
        assert b'"error"' in rest and b"data: [DONE]" not in rest
        assert server.wait_end() == 0
        assert time.monotonic() - began < 15


def test_second_signal_ends_at_once(start):
    server = start()
    with Wire(server.port) as running:
        running.request("POST", TEXT, {**STREAM, "max_tokens": 1900})
        running.until(b"data: ")
        server.signal(signal.SIGTERM)
        time.sleep(0.3)
        server.signal(signal.SIGTERM)
        began = time.monotonic()
        server.process.wait(10)
        assert time.monotonic() - began < 5
    server.process.returncode = 0  # any status is right here; `start` must not complain


def test_second_signal_in_a_long_chunk(start):
    """The prefill worker asks for its request back when its chunk is over: decode must be there to
    answer, also when it is the first of the workers."""
    server = start(config="workers:\n  - name: writer\n    role: decode\n"
                          "  - name: reader\n    role: prefill\n"
                          "engine:\n  threads: 1\nscheduler:\n  token_budget: 1024\n")
    with Wire(server.port) as running:
        running.request("POST", TEXT, {**STREAM, "prompt": "word " * 1000})
        until = time.monotonic() + 30
        while server.metrics().value("tandem:kv_pages_used", engine="reader") == 0:
            assert time.monotonic() < until
            time.sleep(0.01)
        server.signal(signal.SIGTERM)
        time.sleep(0.1)
        server.signal(signal.SIGTERM)
        assert b'"error"' in running.until(b"0\r\n\r\n")
        assert server.wait_end(45) == 0, server.output()
    assert "has not ended" not in server.output()


def test_request_timeout(start):
    server = start("--request-timeout-s", "1")
    answer = server.post(TEXT, **{**STREAM, "stream": False, "max_tokens": 1900})
    assert answer.status_code in (408, 503, 504), answer.text
    assert answer.json()["error"]["message"]
    server.wait_idle()
