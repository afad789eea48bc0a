"""The C tokenizer against llama.cpp's golden ids and the Python package tokenizers.

Driven through tests/tools/tokenize. Needs TANDEM_BUILD (default: the current folder); the embedded
model's tests need TANDEM_MODEL, the golden ids the files of get_vocabs.py (TANDEM_VOCABS or the
cache).
"""

import json
import os
import pathlib
import random
import struct
import subprocess

import gguf
import pytest

import tokenizer_texts
from get_vocabs import cache_folder
from tiny_gguf import byte_characters

tokenizers = pytest.importorskip("tokenizers")
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers  # noqa: E402

TOOL = pathlib.Path(os.environ.get("TANDEM_BUILD", ".")) / "tests" / "tools" / "tokenize"
MODEL = os.environ.get("TANDEM_MODEL", "")
VOCABS = pathlib.Path(os.environ.get("TANDEM_VOCABS") or cache_folder() / "vocabs")
GOLDEN = [
    "baichuan", "command-r", "deepseek-coder", "falcon", "gpt-2", "llama-bpe", "llama-spm", "mpt",
    "phi-3", "qwen2", "qwen35", "refact", "starcoder",
]  # fmt: skip

needs_model = pytest.mark.skipif(not MODEL, reason="TANDEM_MODEL is not set")


def records(items):
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


def tool(model, *flags, feed):
    run = subprocess.run([TOOL, model, *flags], input=feed, capture_output=True, check=False)
    return run.returncode, run.stdout, run.stderr.decode()


def encode(model, texts, *flags):
    texts = [text.encode() if isinstance(text, str) else text for text in texts]
    status, out, error = tool(model, *flags, feed=records(texts))
    assert status == 0, error
    return [[int(word) for word in line.split()] for line in out.decode().split("\n")[:-1]]


def decode(model, lists, *flags):
    feed = records([struct.pack(f"<{len(ids)}i", *ids) for ids in lists])
    status, out, error = tool(model, "--decode", *flags, feed=feed)
    assert status == 0, error
    texts = []
    while out:
        (size,) = struct.unpack("<I", out[:4])
        texts.append(out[4 : 4 + size])
        out = out[4 + size :]
    return texts


def metadata(path):
    prefix = "tokenizer.ggml."
    fields = gguf.GGUFReader(path).fields
    return {name[len(prefix) :]: fields[name] for name in fields if name.startswith(prefix)}


def assert_same_ids(texts, ours, theirs):
    assert len(ours) == len(texts)
    for text, our, their in zip(texts, ours, theirs, strict=True):
        assert our == their, repr(text)


# ---- llama.cpp's golden ids ----


def vocab_file(name):
    path = VOCABS / f"ggml-vocab-{name}.gguf"
    if not path.is_file():
        pytest.skip(f"no {path}: run tests/reference/get_vocabs.py")
    return path


def golden(name):
    path = vocab_file(name)
    inputs, outputs = path.with_suffix(".gguf.inp"), path.with_suffix(".gguf.out")
    if not inputs.is_file():
        pytest.skip(f"{name} has no golden ids")
    texts = inputs.read_bytes().decode().split("\n__ggml_vocab_test__\n")
    ids = [[int(word) for word in row.split()] for row in outputs.read_text().split("\n")[:-1]]
    return path, texts[: len(ids)], ids


@pytest.mark.parametrize("name", [name for name in GOLDEN if name != "baichuan"])
def test_golden_ids(name):
    path, texts, ids = golden(name)
    assert len(texts) > 40
    assert_same_ids(texts, encode(path, texts), ids)
    assert [text.decode() for text in decode(path, ids)] == texts


# Falcon has no token for some control bytes; what they stand for is lost in every implementation.
@pytest.mark.parametrize("name", [name for name in GOLDEN if name != "falcon"])
def test_texts_come_back(name):
    """Every text from its ids, in every vocabulary; SPM writes U+2581 as a space by design."""
    path = vocab_file(name)
    texts = tokenizer_texts.fixed_texts() + tokenizer_texts.random_texts(400, 7)
    if name == "phi-3":  # has it as an added token, after which SPM puts a space
        texts = [text for text in texts if "</s>" not in text]
    lists = encode(path, texts)
    for text, back in zip(texts, decode(path, lists), strict=True):
        assert back.decode() == text.replace("\u2581", " ")


@pytest.mark.parametrize("name, word", [("bert-bge", '"bert"'), ("gemma-4", '"gemma4"'),
                                        ("deepseek-llm", '"deepseek-llm"')])  # fmt: skip
def test_unknown_kinds_are_refused(name, word):
    status, _, error = tool(vocab_file(name), feed=b"")
    assert status == 1
    assert word in error and "known are" in error


def spm_reference(path):
    """The merges that the scores imply, as transformers' converter derives them."""
    data = metadata(path)
    texts = data["tokens"].contents()
    types, scores = data["token_type"].contents(), data["scores"].contents()
    vocab = {text: i for i, text in enumerate(texts)}
    normal = {text: i for text, i in vocab.items() if types[i] == 1}
    merges = []
    for text, i in normal.items():
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in normal and right in normal:
                merges.append((-scores[i], i, left, right))
    merges.sort()
    reference = tokenizers.Tokenizer(
        models.BPE(vocab, [merge[2:] for merge in merges], unk_token="<unk>", fuse_unk=True,
                   byte_fallback=True)
    )  # fmt: skip
    reference.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    return reference


def test_spm_against_python():
    path = vocab_file("llama-spm")
    reference = spm_reference(path)
    texts = tokenizer_texts.fixed_texts() + tokenizer_texts.random_texts(1200, 11)
    theirs = [item.ids for item in reference.encode_batch(texts)]
    assert_same_ids(texts, encode(path, texts), theirs)


# ---- the embedded model ----


@pytest.fixture(scope="module")
def embedded():
    data = metadata(MODEL)
    texts, types = data["tokens"].contents(), data["token_type"].contents()
    merges = [tuple(merge.split(" ")) for merge in data["merges"].contents()]
    reference = tokenizers.Tokenizer(models.BPE({text: i for i, text in enumerate(texts)}, merges))
    reference.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True),
         pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )  # fmt: skip
    reference.decoder = decoders.ByteLevel()
    reference.control = [text for text, kind in zip(texts, types, strict=True) if kind == 3]
    return reference


@needs_model
def test_known_ids():
    texts = ["12345 hello", "<|im_start|>user\nHi<|im_end|>", "The capital of France is"]
    assert encode(MODEL, texts, "--special") == [
        [33, 34, 35, 36, 37, 33662], [1, 4093, 198, 26843, 2], [504, 3575, 282, 4649, 314]
    ]  # fmt: skip


@needs_model
def test_embedded_against_python(embedded):
    texts = tokenizer_texts.fixed_texts() + tokenizer_texts.random_texts(4000, 1)
    theirs = [item.ids for item in embedded.encode_batch(texts)]
    assert_same_ids(texts, encode(MODEL, texts), theirs)


@needs_model
def test_embedded_control_tokens(embedded):
    """Anywhere in the text, once more with the reference knowing them as special."""
    special = tokenizers.Tokenizer.from_str(embedded.to_str())
    special.add_special_tokens(embedded.control)
    rng = random.Random(3)
    pieces = ["<|", "|>", "<", "<|im_", "start|>", " ", "\n", "user", "x", "<repo"]
    pieces += embedded.control
    texts = ["".join(rng.choices(pieces, k=rng.randrange(1, 12))) for _ in range(1000)]
    theirs = [item.ids for item in special.encode_batch(texts)]
    assert_same_ids(texts, encode(MODEL, texts, "--special"), theirs)
    plain = encode(MODEL, texts)
    assert not {i for ids in plain for i in ids} & set(range(len(embedded.control)))


@needs_model
def test_embedded_decoding(embedded):
    """Random ids: mostly broken characters; the reference replaces maximal subparts too."""
    rng = random.Random(5)
    short = [i for i in range(17, 300)]
    lists = [[rng.choice(short) for _ in range(rng.randrange(20))] for _ in range(2000)]
    lists += [[rng.randrange(17, 49152) for _ in range(20)] for _ in range(500)]
    theirs = [embedded.decode(ids) for ids in lists]
    assert [text.decode() for text in decode(MODEL, lists)] == theirs


@needs_model
def test_embedded_random_bytes(embedded):
    """What is no UTF-8 comes back as Python's errors="replace" shows it; bytes that this vocabulary
    has no token for (0x04 and 0xff among them) are left out, as the reference does."""
    characters = byte_characters()
    missing = bytes(byte for byte in range(256) if characters[byte] not in embedded.get_vocab())
    assert len(missing) < 30
    rng = random.Random(9)
    texts = [rng.randbytes(rng.randrange(200)) for _ in range(1000)]
    texts += [line.encode()[rng.randrange(4) :][:-1] for line in tokenizer_texts.SCRIPTS]
    for text, back in zip(texts, decode(MODEL, encode(MODEL, texts)), strict=True):
        assert back.decode() == text.translate(None, missing).decode(errors="replace")


# ---- every family of pre-tokenizers, over a vocabulary trained with the original expressions ----

SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
SYMBOLS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LEAD = r"[^\r\n\p{L}\p{N}]?"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
FAMILIES = {
    "gpt-2": [GPT2],
    "smollm": [r"\p{N}", GPT2],
    "llama-bpe": [SUFFIX + rf"|{LEAD}\p{{L}}+|\p{{N}}{{1,3}}" + SYMBOLS + TAIL],
    "dbrx": [SUFFIX + rf"|{LEAD}\p{{L}}+|\p{{N}}{{1,3}}" + SYMBOLS + TAIL],
    "glm4": [SUFFIX + rf"|{LEAD}\p{{L}}+|\p{{N}}{{1,3}}" + SYMBOLS + TAIL],
    "qwen2": [SUFFIX + rf"|{LEAD}\p{{L}}+|\p{{N}}" + SYMBOLS + TAIL],
    "qwen35": [SUFFIX + rf"|{LEAD}[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*"
               + TAIL],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"],
    "deepseek-v3": [
        r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
        r"| ?[\p{P}\p{S}]+[\r\n]*" + TAIL,
    ],
    "gpt-4o": [rf"{LEAD}{UPPER}*{LOWER}+{SUFFIX}?|{LEAD}{UPPER}+{LOWER}*{SUFFIX}?|\p{{N}}{{1,3}}"
               r"| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL],
    "tekken": [rf"{LEAD}{UPPER}*{LOWER}+|{LEAD}{UPPER}+{LOWER}*|\p{{N}}"
               r"| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL],
}  # fmt: skip
WHOLE_WORDS = {"llama-bpe", "glm4", "tekken"}


def train(patterns, whole_words):
    reference = tokenizers.Tokenizer(models.BPE(ignore_merges=whole_words))
    splits = [pre_tokenizers.Split(tokenizers.Regex(p), "isolated") for p in patterns]
    reference.pre_tokenizer = pre_tokenizers.Sequence(
        [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    reference.train_from_iterator(
        tokenizer_texts.fixed_texts() + tokenizer_texts.random_texts(400, 21),
        trainers.BpeTrainer(vocab_size=1500, show_progress=False,
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    return reference


def write_gguf(path, reference, pre):
    """The trained vocabulary, the alphabet first; the merges from the package's own JSON."""
    data = json.loads(reference.to_str())["model"]
    tokens = sorted(data["vocab"], key=data["vocab"].get)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in data["merges"]]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges(merges)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


@pytest.mark.parametrize("pre", FAMILIES)
def test_family_against_python(pre, tmp_path):
    reference = train(FAMILIES[pre], pre in WHOLE_WORDS)
    path = tmp_path / "vocabulary.gguf"
    write_gguf(path, reference, pre)
    texts = tokenizer_texts.fixed_texts() + tokenizer_texts.random_texts(2000, 2)
    theirs = [item.ids for item in reference.encode_batch(texts)]
    assert_same_ids(texts, encode(path, texts), theirs)
