"""The engine against numpy: every weight type on tiny models, and the embedded model over prompts
of many kinds and a long text. Also against itself: chunks, threads and instruction sets must not
change a bit."""
import os
import pathlib
import subprocess

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")

import llama_numpy  # noqa: E402  (needs both)
import prompt_texts  # noqa: E402
import tiny_gguf  # noqa: E402

BUILD = pathlib.Path(os.environ.get("TANDEM_BUILD", "."))
MODEL = os.environ.get("TANDEM_MODEL", "")
# On every Debian system; the first one's own text is in the public domain.
TEXTS = [pathlib.Path("/usr/share/common-licenses") / name for name in ("CC0-1.0", "GPL-3")]
needs_model = pytest.mark.skipif(not os.path.exists(MODEL), reason="TANDEM_MODEL names no file")


def engine_logits(path, ids, n_vocab, isa="auto", threads=2, chunk=64):
    command = [BUILD / "tests/tools/logits", path, isa, str(threads), str(chunk)]
    out = subprocess.run(command, input=" ".join(map(str, ids)).encode(), capture_output=True)
    assert out.returncode == 0, out.stderr.decode()
    return np.frombuffer(out.stdout, dtype=np.float32).reshape(len(ids), n_vocab)


def tokens_of(text):
    """Ids of a text; control tokens spelt out in it count as such."""
    data = text.encode()
    out = subprocess.run([BUILD / "tests/tools/tokenize", MODEL, "--special"], check=True,
                         input=len(data).to_bytes(4, "little") + data, capture_output=True)
    return [int(i) for i in out.stdout.split()]


def log_softmax(logits):
    logits = logits.astype(np.float64)
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


# A near-tie: the reference's winner leads our winner by so little that the error of our logits
# explains the swap. The error of the difference of two logits has sqrt(2) times the standard
# deviation of the row's errors; three times that is what chance rarely exceeds (largest seen: 2.2).
NEAR_TIE = 3 * 2**0.5


class Comparison:
    """Figures per position: of the reference's logits and ours."""

    def __init__(self):
        self.divergence, self.error, self.lead, self.gap = [], [], [], []
        self.loss, self.ours = [], []

    def add(self, model, ids):
        expected = model.logits(ids)
        got = engine_logits(MODEL, ids, expected.shape[1], chunk=128)
        for at in range(0, len(ids), 128):  # float64 copies of all rows would take gigabytes
            self.add_rows(expected[at : at + 128], got[at : at + 128], ids[at + 1 : at + 129])

    def add_rows(self, expected, got, following):
        p, q = log_softmax(expected), log_softmax(got)
        rows = np.arange(len(p))
        self.divergence.extend((np.exp(p) * (p - q)).sum(axis=-1))
        # Not the mean of the difference: a shift of all logits changes no probability.
        self.error.extend((got - expected).std(axis=-1))
        self.lead.extend(p.max(axis=-1) - p[rows, got.argmax(axis=-1)])
        second, first = np.partition(p, -2, axis=-1)[:, -2:].T
        self.gap.extend(first - second)
        rows = rows[: len(following)]
        self.loss.extend(-p[rows, following])
        self.ours.extend(-q[rows, following])

    def check(self, name):
        """Greedy tokens and distributions; prints the figures (pytest -s)."""
        error, lead = np.array(self.error), np.array(self.lead)
        decided = float((np.array(self.gap) > NEAR_TIE * error).mean())
        expected, got = np.exp(np.mean(self.loss)), np.exp(np.mean(self.ours))
        print(f"\n{name}: {len(error)} positions, KL {np.mean(self.divergence):.5f}, logit error "
              f"{error.mean():.3f}, same greedy token {(lead == 0).mean():.4f}, the others led by "
              f"at most {(lead / error).max():.2f} errors, {decided:.3f} of the positions are no "
              f"near-ties, perplexity {got:.4f} for {expected:.4f} "
              f"({got / expected - 1:+.4%})")  # fmt: skip
        assert np.mean(self.divergence) < 0.01
        # Else the margin of a near-tie would excuse everything.
        assert error.mean() < 0.2 and decided > 0.4
        assert (lead < NEAR_TIE * error).all()
        return got / expected


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


@pytest.fixture(scope="module")
def embedded():
    return llama_numpy.load(MODEL)


@needs_model
def test_prompts_of_many_kinds(embedded):
    """Catches quality lost on some kinds of text only (control tokens, indentation, digits, bytes
    beyond ASCII): greedy tokens agree with the float reference except at near-ties."""
    total = 0
    for name, text in prompt_texts.ALL.items():
        comparison, ids = Comparison(), tokens_of(text)
        comparison.add(embedded, ids)
        comparison.check(name)
        total += len(ids)
    assert total >= 512


@needs_model
def test_long_text(embedded):
    """Catches numerics that drift with the position, and quality lost to quantised activations:
    perplexity within 1 % over 2,048 tokens in windows of 1,024, greedy tokens as above."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in TEXTS)
    ids = tokens_of(text)[:2048]
    assert len(ids) == 2048
    comparison = Comparison()
    for at in range(0, len(ids), 1024):
        comparison.add(embedded, ids[at : at + 1024])
    assert abs(comparison.check("long text") - 1) < 0.01
