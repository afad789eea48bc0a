#!/usr/bin/env python3
"""Writes the seeds of tests/fuzz/gguf.c into corpus/gguf: small files, sound and nearly sound.

Usage: gguf_corpus.py      (deterministic; needs the Python packages gguf and numpy)
"""
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

FOLDER = Path(__file__).parent / "corpus/gguf"
READABLE = [T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q4_K, T.Q5_K, T.Q6_K]


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def matrix(kind, rows, columns):
    block, size = gguf.GGML_QUANT_SIZES[kind]
    count = rows * (columns // block) * size
    return (np.arange(count) % 60).astype(np.uint8).reshape(rows, -1)


def llama(name, kind, width, extras=lambda writer: None, tied=True):
    """One layer, two heads over one key/value head, four tokens."""
    writer = gguf.GGUFWriter(FOLDER / name, "llama")
    writer.add_block_count(1)
    writer.add_context_length(16)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list(["a", "b", "c", "d"])
    extras(writer)
    shapes = {"token_embd": (4, width)}
    for tensor, rows in {"attn_q": width, "attn_k": width // 2, "attn_v": width // 2,
                         "attn_output": width, "ffn_gate": width, "ffn_up": width,
                         "ffn_down": width}.items():  # fmt: skip
        shapes[f"blk.0.{tensor}"] = (rows, width)
    if not tied:
        shapes["output"] = (4, width)
    for tensor, (rows, columns) in shapes.items():
        writer.add_tensor(f"{tensor}.weight", matrix(kind, rows, columns), raw_dtype=kind)
    for tensor in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{tensor}.weight", np.ones(width, dtype=np.float32))
    finish(writer)


def scaled_rope(writer):
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(2.0)
    writer.add_rope_dimension_count(4)
    writer.add_tensor("rope_freqs.weight", np.ones(2, dtype=np.float32))


def every_type():
    """A tensor of each type we read, and one key of each type of value."""
    writer = gguf.GGUFWriter(FOLDER / "every_type.gguf", "none")
    for kind in READABLE:
        columns = gguf.GGML_QUANT_SIZES[kind][0]
        writer.add_tensor(f"{kind.name}.weight", matrix(kind, 1, columns), raw_dtype=kind)
    writer.add_uint8("u8", 1)
    writer.add_int8("i8", -1)
    writer.add_uint16("u16", 1)
    writer.add_int16("i16", -1)
    writer.add_uint32("general.alignment", 32)
    writer.add_int32("i32", -1)
    writer.add_float32("f32", 1.5)
    writer.add_bool("bool", True)
    writer.add_string("string", "text")
    writer.add_uint64("u64", 1)
    writer.add_int64("i64", -1)
    writer.add_float64("f64", 0.5)
    writer.add_array("numbers", [1, 2, 3])
    writer.add_array("floats", [0.5, 1.5])
    writer.add_array("flags", [True, False])
    finish(writer)


def damaged():
    sound = (FOLDER / "llama_f16.gguf").read_bytes()
    (FOLDER / "version_2.gguf").write_bytes(sound[:4] + b"\2" + sound[5:])
    (FOLDER / "big_endian.gguf").write_bytes(sound[:4] + b"\0\0\0\3" + sound[8:])
    (FOLDER / "truncated.gguf").write_bytes(sound[:-1])
    (FOLDER / "many_keys.gguf").write_bytes(sound[:16] + b"\xff" * 8 + sound[24:])
    (FOLDER / "nothing.gguf").write_bytes(sound[:8] + bytes(16))


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    llama("llama_f16.gguf", T.F16, 8)
    llama("llama_q8_0.gguf", T.Q8_0, 32, tied=False)
    llama("llama_rope.gguf", T.F16, 16, scaled_rope)
    every_type()
    damaged()


if __name__ == "__main__":
    main()
