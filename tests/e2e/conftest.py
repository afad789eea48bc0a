"""Servers for the tests. TANDEM_BUILD and TANDEM_MODEL say which program and which model."""

import os
import resource
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import serving  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "sanitizer: also run against the sanitizer builds")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if not os.path.exists(serving.PROGRAM):
        raise pytest.UsageError(f"no program at {serving.PROGRAM}: build it and set TANDEM_BUILD")
    if not os.path.exists(serving.MODEL):
        raise pytest.UsageError("set TANDEM_MODEL to the embedded model's file")


@pytest.fixture(scope="session")
def shared():
    """One server with default settings for all tests that need nothing else."""
    server = serving.Serving()
    yield server
    server.stop()


@pytest.fixture
def server(shared):
    """The shared server; afterwards every page must be free again."""
    yield shared
    shared.wait_idle()


@pytest.fixture
def start():
    """Starts servers with flags of the test's choice; each must end cleanly."""
    running = []

    def launch(*flags, **kwargs):
        running.append(serving.Serving(*flags, **kwargs))
        return running[-1]

    yield launch
    for one in running:
        one.stop()


@pytest.fixture
def openai(server):
    from openai import OpenAI

    with OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0,
                timeout=300) as client:
        yield client
