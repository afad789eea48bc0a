"""The engine against numpy: every weight type on tiny models, and the embedded model over a long
text. Also against itself: chunks, threads and instruction sets must not change a bit."""
import os
import pathlib
import subprocess

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")

import llama_numpy  # noqa: E402  (needs both)
import tiny_gguf  # noqa: E402

BUILD = pathlib.Path(os.environ.get("TANDEM_BUILD", "."))
MODEL = os.environ.get("TANDEM_MODEL", "")
TEXT = pathlib.Path("/usr/share/common-licenses/GPL-3")
needs_model = pytest.mark.skipif(not os.path.exists(MODEL), reason="TANDEM_MODEL names no file")


def engine_logits(path, ids, n_vocab, isa="auto", threads=2, chunk=64):
    command = [BUILD / "tests/tools/logits", path, isa, str(threads), str(chunk)]
    out = subprocess.run(command, input=" ".join(map(str, ids)).encode(), capture_output=True)
    assert out.returncode == 0, out.stderr.decode()
    return np.frombuffer(out.stdout, dtype=np.float32).reshape(len(ids), n_vocab)


def log_softmax(logits):
    logits = logits.astype(np.float64)
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def divergence(expected, got):
    """Mean KL divergence of the distributions of the rows."""
    p, q = log_softmax(expected), log_softmax(got)
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())


def near_ties_aside(expected, got, margin):
    """Rows where another token wins although the reference's winner led by more than margin."""
    best = got.argmax(axis=-1)
    rows = np.arange(len(got))
    return int((expected.max(axis=-1) - expected[rows, best] > margin).sum())


# The only rounding beyond f32 is that of the activations to int8, about 0.4 % of each block's
# largest element, and of K and V to f16; float weights do not even quantise activations.
@pytest.mark.parametrize("kind", tiny_gguf.TYPES)
@pytest.mark.parametrize("shape", ["default", "wide"])
def test_every_weight_type(tmp_path, kind, shape):
    """Catches a wrong block layout, scale, minimum or zero point of a type, RoPE tables that ignore
    scaling factors, and heads mapped to the wrong KV head."""
    path = tmp_path / "tiny.gguf"
    sizes = {} if shape == "default" else {"heads": 8, "kv_heads": 2, "head_dim": 64, "embd": 256,
                                           "ff": 512}  # fmt: skip
    tiny_gguf.write(path, kind, tied=shape == "default", rope_scale=2.0,
                    rope_factors=shape == "wide", **sizes)  # fmt: skip
    model = llama_numpy.load(path)
    ids = [int(i) for i in np.random.default_rng(7).integers(3, 250, 150)]
    expected = model.logits(ids)
    got = engine_logits(path, ids, expected.shape[1])
    error = np.sqrt(np.mean((got - expected) ** 2) / np.mean(expected**2))
    assert error < (0.003 if kind in ("f32", "f16", "bf16") else 0.03)


@pytest.mark.parametrize("kind", ["q4_1", "q8_0", "q6_k", "f16"])
def test_bits_do_not_depend_on_the_batch(tmp_path, kind):
    """Catches sums whose order follows the chunk, the thread or the instruction set."""
    path = tmp_path / "tiny.gguf"
    tiny_gguf.write(path, kind)
    n_vocab = llama_numpy.load(path).weight("token_embd").shape[0]
    ids = [int(i) for i in np.random.default_rng(8).integers(3, 250, 300)]
    expected = engine_logits(path, ids, n_vocab, isa="plain", threads=1, chunk=300)
    for isa in ("plain", "auto"):
        for threads, chunk in ((1, 1), (2, 7), (3, 16), (4, 64)):
            got = engine_logits(path, ids, n_vocab, isa, threads, chunk)
            assert got.tobytes() == expected.tobytes(), (isa, threads, chunk)


@needs_model
def test_embedded_model_long_text():
    """Catches numerics that drift with the position, and quality lost to quantised activations:
    next-token distributions, greedy tokens and perplexity over 700 positions."""
    command = [BUILD / "tests/tools/tokenize", MODEL]
    text = TEXT.read_bytes()[:4000]
    record = len(text).to_bytes(4, "little") + text
    out = subprocess.run(command, input=record, capture_output=True, check=True)
    ids = [int(i) for i in out.stdout.split()][:700]
    assert len(ids) == 700
    expected = llama_numpy.load(MODEL).logits(ids)
    got = engine_logits(MODEL, ids, expected.shape[1], chunk=128)
    assert divergence(expected, got) < 0.01
    agree = float((expected.argmax(axis=-1) == got.argmax(axis=-1)).mean())
    assert agree > 0.95
    assert near_ties_aside(expected, got, 1.0) == 0
    rows, following = np.arange(len(ids) - 1), ids[1:]
    loss = -log_softmax(expected)[rows, following].mean()
    ours = -log_softmax(got)[rows, following].mean()
    print(f"KL {divergence(expected, got):.5f}, same greedy token {agree:.4f}, "
          f"perplexity {np.exp(loss):.4f} against {np.exp(ours):.4f}")  # fmt: skip
    assert abs(np.exp(ours) / np.exp(loss) - 1) < 0.01
