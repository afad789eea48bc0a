"""Workers over the real engine: the text of a request does not depend on what runs beside it, on
chunks, roles, transports, nor on being preempted and computed again."""
import os
import pathlib
import subprocess

import pytest

pytest.importorskip("gguf")

import tiny_gguf  # noqa: E402  (needs it)

BUILD = pathlib.Path(os.environ.get("TANDEM_BUILD", "."))
MODEL = os.environ.get("TANDEM_MODEL", "")


def check_texts(model, requests):
    command = [BUILD / "tests/tools/worker_texts", model, str(requests)]
    out = subprocess.run(command, capture_output=True, text=True)
    assert out.returncode == 0, out.stdout + out.stderr
    return out.stdout + out.stderr


@pytest.mark.parametrize("kind", ["q4_1", "q4_k", "f16"])
def test_tiny_models(tmp_path, kind):
    """Catches a kernel whose bits depend on the batch, and pages that end up in the wrong place."""
    path = tmp_path / "tiny.gguf"
    tiny_gguf.write(path, kind)
    out = check_texts(path, 40)
    assert "pages 16" in out


@pytest.mark.skipif(not os.path.exists(MODEL), reason="TANDEM_MODEL names no file")
def test_embedded_model():
    check_texts(MODEL, 8)
