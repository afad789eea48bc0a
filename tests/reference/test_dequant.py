"""The GGUF reader and model/dequant.c against the Python package gguf, bit for bit.

TANDEM_BUILD names the build directory with tests/tools/gguf_read.
"""
import os
import re
import subprocess
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
gguf = pytest.importorskip("gguf")

import tiny_gguf  # noqa: E402  (needs both)

BUILD = Path(os.environ.get("TANDEM_BUILD", "."))
TOOL = BUILD / "tests/tools/gguf_read"
UNIT_TEST = Path(__file__).parents[1] / "unit/model_dequant.c"
KINDS = sorted(tiny_gguf.TYPES)
# Where half-precision fields lie in a block, as in UNIT_TEST.
HALFS = {"f16": [0], "q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q8_0": [0],
         "q4_k": [0, 2], "q5_k": [0, 2], "q6_k": [208]}  # fmt: skip


def run_tool(*arguments):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, check=True).stdout


def reference(raw, kind):
    with np.errstate(all="ignore"):
        if kind == "f32":
            values = raw.view(np.float32)
        elif kind == "f16":
            values = raw.view(np.float16).astype(np.float32)
        else:
            values = gguf.quants.dequantize(raw, tiny_gguf.TYPES[kind])
    return np.ascontiguousarray(values, dtype=np.float32).reshape(-1)


def assert_same_bits(actual, expected):
    nan = np.isnan(expected)  # which NaN it is differs between machines
    assert (np.isnan(actual) == nan).all()
    assert (actual.view(np.uint32) == expected.view(np.uint32))[~nan].all()


@pytest.mark.parametrize("kind", KINDS)
def test_random_blocks(kind, tmp_path):
    """Catches any bit that differs, over all scales: subnormal, infinite and not a number too."""
    elements, size = gguf.GGML_QUANT_SIZES[tiny_gguf.TYPES[kind]]
    blocks = 65536 if elements == 1 else 4096
    raw = np.random.default_rng(1).integers(0, 256, (16, blocks // 16 * size), dtype=np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "random.gguf", "llama")
    writer.add_tensor("random", raw, raw_dtype=tiny_gguf.TYPES[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    actual = np.frombuffer(run_tool(tmp_path / "random.gguf", "random"), dtype=np.float32)
    assert_same_bits(actual, reference(raw.reshape(-1, size), kind))


@pytest.mark.parametrize("kind", KINDS)
def test_whole_file(kind, tmp_path):
    """Catches a tensor table that is read differently: names, types, shapes or places."""
    path = tmp_path / "tiny.gguf"
    tiny_gguf.write(path, kind, tied=False)
    listed = run_tool(path).decode().splitlines()
    tensors = gguf.GGUFReader(path).tensors
    assert listed == [
        " ".join([t.name, t.tensor_type.name, *map(str, t.shape), str(t.n_bytes)]) for t in tensors
    ]
    for tensor in (tensors[0], tensors[-1]):
        actual = np.frombuffer(run_tool(path, tensor.name), dtype=np.float32)
        assert_same_bits(actual, reference(tensor.data.view(np.uint8), kind_of(tensor)))


def kind_of(tensor):
    return tensor.tensor_type.name.lower()


def block_bytes(kind, count):
    """The bytes that UNIT_TEST makes: see fill_blocks there."""
    size = gguf.GGML_QUANT_SIZES[tiny_gguf.TYPES[kind]][1]
    x, out = int(tiny_gguf.TYPES[kind]), bytearray()
    for _ in range(count * size):
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
        out.append(x >> 24)
    raw = np.frombuffer(out, dtype=np.uint8).reshape(count, size)
    for half in HALFS.get(kind, []):
        raw[:, half + 1] &= 0xBF
    return raw


def fnv1a(data):
    digest = 0xCBF29CE484222325
    for byte in data:
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return digest


@pytest.mark.parametrize("kind", KINDS)
def test_unit_test_digests(kind):
    """Catches digests in the unit test that were taken from our own output."""
    source = UNIT_TEST.read_text()
    digest = fnv1a(reference(block_bytes(kind, 64), kind).tobytes())
    entry = re.search(rf"\{{GGUF_TENSOR_{kind.upper()},.*(0x[0-9a-f]+)\}}", source)
    assert entry and int(entry[1], 16) == digest, f"{kind}: 0x{digest:016x}"
