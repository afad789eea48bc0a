"""A running `tandem serve`, as the tests see it: a process, a port, and /metrics."""

import os
import signal
import socket
import subprocess
import tempfile
import time

import httpx

import prometheus

BUILD = os.environ.get("TANDEM_BUILD", "build")
MODEL = os.environ.get("TANDEM_MODEL", "")
PROGRAM = os.path.join(BUILD, "tandem")
NAME = "SmolLM2-135M-Instruct"

START_SECONDS = 120  # a sanitizer build loads slowly
SETTLE_SECONDS = 60

# What every worker shows when no request is anywhere.
IDLE_GAUGES = tuple("tandem:" + name for name in (
    "num_requests_live", "num_requests_waiting", "num_requests_running", "kv_pages_used",
    "num_decode_transfer_queue_reqs", "num_prefill_inflight_queue_reqs"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Serving:
    def __init__(self, *flags, config=None, wait=True):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [PROGRAM, "serve"]
        if config is not None:
            self.config = tempfile.NamedTemporaryFile("w", suffix=".yaml")
            self.config.write(config)
            self.config.flush()
            command += ["--config", self.config.name]
        command += ["--model", MODEL, "--served-model-name", NAME, "--port", str(self.port), *flags]
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)
        if wait:
            self.wait_ready()

    def wait_ready(self):
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            try:
                if httpx.get(self.url + "/ready", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        self.process.kill()
        raise AssertionError(f"the server did not become ready:\n{self.output()}")

    def output(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def http(self, **kwargs):
        return httpx.Client(base_url=self.url, timeout=300, **kwargs)

    def post(self, path, **body):
        with self.http() as http:
            return http.post(path, json=body)

    def complete(self, prompt, **parameters):
        answer = self.post("/v1/completions", prompt=prompt, **parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def chat(self, content, **parameters):
        answer = self.post("/v1/chat/completions",
                           messages=[{"role": "user", "content": content}], **parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def tokens(self, text):
        answer = self.post("/tokenize", prompt=text)
        assert answer.status_code == 200, answer.text
        return answer.json()["tokens"]

    def metrics(self):
        answer = httpx.get(self.url + "/metrics", timeout=60)
        assert answer.status_code == 200, answer.text
        return prometheus.parse(answer.text)

    def busy(self):
        """The gauges that are not at their baseline, by name and labels."""
        samples = self.metrics().samples
        found = {}
        for name in IDLE_GAUGES:
            values = samples.get(name)
            assert values, f"/metrics lacks {name}"
            found.update({(name, labels): value for labels, value in values.items() if value})
        return found

    def wait_idle(self, seconds=SETTLE_SECONDS):
        """Fails unless every request ends and every page comes back."""
        until = time.monotonic() + seconds
        while (left := self.busy()) and time.monotonic() < until:
            time.sleep(0.05)
        assert not left, f"still held after {seconds} s: {left}\n{self.output()[-4000:]}"

    def cpu_ticks(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stream:
            fields = stream.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def signal(self, number):
        self.process.send_signal(number)

    def wait_end(self, seconds=120):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            raise AssertionError(f"the server did not end:\n{self.output()[-4000:]}") from error

    def stop(self):
        """Ends the server; anything but a clean end is a failure (sanitizers report that way)."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        status = self.wait_end()
        assert status == 0, f"the server ended with {status}:\n{self.output()[-8000:]}"
