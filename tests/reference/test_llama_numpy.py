"""The numpy reference itself: against known tokens, and against itself where two ways must agree.

The embedded model is found by TANDEM_MODEL.
"""
import os

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")

import llama_numpy  # noqa: E402  (needs both)
import tiny_gguf  # noqa: E402

MODEL = os.environ.get("TANDEM_MODEL", "")


@pytest.mark.skipif(not os.path.exists(MODEL), reason="TANDEM_MODEL names no file")
def test_known_continuation():
    """Catches a reference that is itself wrong. The tokens are those of transformers 5.23 (float32
    weights from the same file) for the prompt "The capital of France is"."""
    model = llama_numpy.load(MODEL)
    answer = model.greedy([504, 3575, 282, 4649, 314], 16)
    assert answer == [7042, 30, 198, 198, 504, 2988, 314, 42, 216, 34, 32, 33, 40, 29, 32, 33]


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.gguf"
    tiny_gguf.write(path, "q8_0", rope_scale=2.0, rope_factors=True, tied=False)
    return llama_numpy.load(path)


def test_one_by_one(tiny):
    """Catches keys rotated by the wrong position, or a mask off by one, when there is a cache."""
    ids, cache = list(range(40, 60)), {}
    whole = tiny.logits(ids)
    for at, token in enumerate(ids):
        row = tiny.head(tiny.hidden([token], cache)[-1])
        np.testing.assert_allclose(row, whole[at], rtol=1e-4, atol=1e-4)


def test_perplexity(tiny):
    """Catches a window that sees the one before it, and a sum over the wrong tokens."""
    ids = list(range(40, 61))
    windows = [ids[:8], ids[8:16], ids[16:]]
    total, count = 0.0, 0
    for window in windows:
        logits = tiny.logits(window).astype(np.float64)
        for at in range(len(window) - 1):
            row = np.exp(logits[at] - logits[at].max())
            total -= np.log(row[window[at + 1]] / row.sum())
            count += 1
    assert tiny.perplexity(ids, 8) == pytest.approx(np.exp(total / count))


def test_tiny_is_deterministic(tmp_path):
    """Catches files that differ from run to run, and seeds that change nothing."""
    files = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        tiny_gguf.write(tmp_path / name, "q4_k", seed=seed)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1] != files[2]
