#!/usr/bin/env python3
"""Write a tiny llama-architecture GGUF file with random weights.

Small enough to make in a test, complete enough to be served: a byte-level BPE vocabulary with
merges and control tokens, a chat template, every tensor of the architecture. The same arguments
give the same bytes.

    tiny_gguf.py OUT --type q4_k --seed 1 [--head-type q6_k] [--untied] [--layers 2] ...

`write(path, ...)` is the same for tests. Weights of the plain types are normal random numbers
quantised by the gguf package; K types, which it cannot quantise, are random blocks built directly.
"""
import argparse

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

TYPES = {
    "f32": T.F32, "f16": T.F16, "bf16": T.BF16,
    "q4_0": T.Q4_0, "q4_1": T.Q4_1, "q5_0": T.Q5_0, "q5_1": T.Q5_1, "q8_0": T.Q8_0,
    "q4_k": T.Q4_K, "q5_k": T.Q5_K, "q6_k": T.Q6_K,
}  # fmt: skip
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
WORDS = ["the", " the", "and", " and", "ing", " is", " of", " to", " capital", "France", " Paris",
         "user", "assistant", "system", " helpful", "Hello", " world", "00", "\n\n"]  # fmt: skip
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def byte_characters():
    """GPT-2's printable stand-in for each byte: itself where printable, else from 256 upwards."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table, extra = {}, 256
    for byte in range(256):
        if byte in printable:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(extra)
            extra += 1
    return table


def apply_merges(pieces, merges):
    """In order of rank, as BPE would."""
    for merge in merges:
        left, right = merge.split(" ")
        at = 0
        while at + 1 < len(pieces):
            if pieces[at] == left and pieces[at + 1] == right:
                pieces[at : at + 2] = [left + right]
            at += 1


def vocabulary():
    """Tokens, their types and the merges: control tokens, all bytes, and WORDS piece by piece."""
    table = byte_characters()
    tokens = CONTROL + [table[byte] for byte in range(256)]
    merges = []
    for word in WORDS:
        pieces = [table[byte] for byte in word.encode()]
        apply_merges(pieces, merges)
        while len(pieces) > 1:
            merges.append(f"{pieces[0]} {pieces[1]}")
            pieces[0:2] = [pieces[0] + pieces[1]]
            tokens.append(pieces[0])
    assert len(set(tokens)) == len(tokens)
    kinds = [gguf.TokenType.CONTROL] * len(CONTROL)
    kinds += [gguf.TokenType.NORMAL] * (len(tokens) - len(CONTROL))
    return tokens, kinds, merges


def half_bytes(values):
    return values.astype(np.float16).reshape(-1, 1).view(np.uint8)


def k_scale_bytes(scales, mins):
    """Eight 6-bit scales and minima in twelve bytes (Q4_K and Q5_K)."""
    low = [(scales[:, :4] & 63) | (scales[:, 4:] >> 4 << 6)]
    low += [(mins[:, :4] & 63) | (mins[:, 4:] >> 4 << 6)]
    low += [(scales[:, 4:] & 15) | ((mins[:, 4:] & 15) << 4)]
    return np.concatenate(low, axis=1).astype(np.uint8)


def random_k_blocks(rng, kind, count, deviation):
    """`count` super-blocks whose values lie around zero with about that standard deviation."""
    spread = deviation * rng.uniform(0.7, 1.3, count).astype(np.float32)
    if kind == T.Q6_K:
        scales = rng.integers(8, 64, (count, 16)) * rng.choice([-1, 1], (count, 16))
        step = spread / (36 * 64 / 12**0.5)
        bits = rng.integers(0, 256, (count, 128 + 64), dtype=np.uint8)
        scales = scales.astype(np.int8).view(np.uint8)
        return np.concatenate([bits, scales, half_bytes(step)], axis=1)
    levels = 16 if kind == T.Q4_K else 32
    scales = rng.integers(8, 64, (count, 8))
    step = spread / (36 * levels / 12**0.5)
    head = [half_bytes(step), half_bytes(step * (levels - 1) / 2), k_scale_bytes(scales, scales)]
    bits = rng.integers(0, 256, (count, 128 if levels == 16 else 32 + 128), dtype=np.uint8)
    return np.concatenate([*head, bits], axis=1)


def random_matrix(rng, kind, rows, columns):
    """Raw data of a [rows, columns] matrix whose products keep the size of their input."""
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    if columns % block:
        raise SystemExit(f"rows of {columns} elements are no multiple of {block} ({kind.name})")
    deviation = columns**-0.5
    if kind in (T.Q4_K, T.Q5_K, T.Q6_K):
        blocks = random_k_blocks(rng, kind, rows * columns // block, deviation)
        return blocks.reshape(rows, columns // block * block_bytes)
    values = rng.normal(0, deviation, (rows, columns)).astype(np.float32)
    return gguf.quants.quantize(values, kind)


def add_metadata(writer, shape, rope_scale):
    tokens, kinds, merges = vocabulary()
    writer.add_name("tiny")
    writer.add_block_count(shape["layers"])
    writer.add_context_length(shape["context"])
    writer.add_embedding_length(shape["embd"])
    writer.add_feed_forward_length(shape["ff"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_key_length(shape["head_dim"])
    writer.add_value_length(shape["head_dim"])
    writer.add_rope_dimension_count(shape["head_dim"])
    writer.add_rope_freq_base(10000.0)
    if rope_scale != 1:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope_scale)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    return len(tokens)


def add_weights(writer, rng, shape, kind, head_kind, tied, n_vocab):
    embd, ff = shape["embd"], shape["ff"]
    q, kv = shape["heads"] * shape["head_dim"], shape["kv_heads"] * shape["head_dim"]
    matrices = {"attn_q": (q, embd), "attn_k": (kv, embd), "attn_v": (kv, embd),
                "attn_output": (embd, q), "ffn_gate": (ff, embd), "ffn_up": (ff, embd),
                "ffn_down": (embd, ff)}  # fmt: skip

    def add_matrix(name, matrix_kind, rows, columns):
        data = random_matrix(rng, matrix_kind, rows, columns)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=matrix_kind)

    def add_norm(name):
        writer.add_tensor(f"{name}.weight", rng.uniform(0.5, 1.5, embd).astype(np.float32))

    add_matrix("token_embd", head_kind, n_vocab, embd)
    for layer in range(shape["layers"]):
        add_norm(f"blk.{layer}.attn_norm")
        add_norm(f"blk.{layer}.ffn_norm")
        for name, (rows, columns) in matrices.items():
            add_matrix(f"blk.{layer}.{name}", kind, rows, columns)
    add_norm("output_norm")
    if not tied:
        add_matrix("output", head_kind, n_vocab, embd)


def write(path, kind="q4_1", head_kind=None, seed=1, tied=True, rope_scale=1.0, rope_factors=False,
          **sizes):  # fmt: skip
    """kind, head_kind: keys of TYPES (head_kind: embedding and output head; kind when None).
    sizes: layers, embd, ff, heads, kv_heads, head_dim, context. rope_scale: factor of linear RoPE
    scaling; rope_factors: add rope_freqs.weight."""
    wide = "_k" in kind or "_k" in (head_kind or "")
    shape = {"layers": 2, "embd": 96, "ff": 160, "heads": 3, "kv_heads": 1, "head_dim": 32,
             "context": 512}  # fmt: skip
    if wide:  # rows of whole super-blocks
        shape.update(embd=256, ff=512, heads=4, kv_heads=2, head_dim=64)
    unknown = sizes.keys() - shape.keys()
    if unknown:
        raise TypeError(f"unknown sizes: {sorted(unknown)}")
    shape.update({name: size for name, size in sizes.items() if size is not None})
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    n_vocab = add_metadata(writer, shape, rope_scale)
    add_weights(writer, rng, shape, TYPES[kind], TYPES[head_kind or kind], tied, n_vocab)
    if rope_factors:
        factors = np.geomspace(1, 8, shape["head_dim"] // 2).astype(np.float32)
        writer.add_tensor("rope_freqs.weight", factors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("--type", choices=TYPES, default="q4_1")
    parser.add_argument("--head-type", choices=TYPES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--untied", action="store_true", help="an output head of its own")
    parser.add_argument("--rope-scale", type=float, default=1.0)
    parser.add_argument("--rope-factors", action="store_true")
    for name in ("layers", "embd", "ff", "heads", "kv-heads", "head-dim", "context"):
        parser.add_argument(f"--{name}", type=int)
    options = vars(parser.parse_args())
    out, kind, head_kind = options.pop("out"), options.pop("type"), options.pop("head_type")
    write(out, kind, head_kind, tied=not options.pop("untied"), **options)


if __name__ == "__main__":
    main()
