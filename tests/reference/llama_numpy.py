#!/usr/bin/env python3
"""The forward pass of a llama-architecture GGUF file in plain float32 numpy.

Written from the architecture's definition, sharing nothing with the engine, so that both can only
agree by being right: weights dequantised by the gguf package, full causal attention, RoPE on
adjacent pairs (GGUF converters permute Q and K of llama models for that), RMSNorm, SwiGLU.

    model = load(path)
    model.logits(ids)          # [n, n_vocab], one row per position
    model.greedy(ids, 16)      # the next 16 ids
    model.perplexity(ids, 512)

From a shell: llama_numpy.py MODEL ID... [--count 16] prints the greedy continuation.
"""
import argparse

import gguf
import numpy as np


def rms_norm(x, weight, eps):
    scale = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True, dtype=np.float32) + np.float32(eps))
    return x * scale * weight


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def silu(x):
    return x / (1 + np.exp(-x))


class Llama:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.fields = reader.fields
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.weights = {}  # dequantised on first use and kept
        assert self.key("general.architecture") == "llama"
        self.n_layers = self.key("llama.block_count")
        self.n_embd = self.key("llama.embedding_length")
        self.n_heads = self.key("llama.attention.head_count")
        self.n_kv_heads = self.key("llama.attention.head_count_kv", self.n_heads)
        self.head_dim = self.key("llama.attention.key_length", self.n_embd // self.n_heads)
        self.eps = self.key("llama.attention.layer_norm_rms_epsilon")
        self.frequencies = self.rope_frequencies()

    def key(self, name, default=None):
        field = self.fields.get(name)
        if field is None and default is None:
            raise KeyError(name)
        return default if field is None else field.contents()

    def weight(self, name):
        name += ".weight"
        if name not in self.weights:
            tensor = self.tensors[name]
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            self.weights[name] = np.ascontiguousarray(values, dtype=np.float32)
        return self.weights[name]

    def rope_frequencies(self):
        """Radians per position of each pair; pairs past the rotated dimensions stand still."""
        dims = self.key("llama.rope.dimension_count", self.head_dim)
        base = self.key("llama.rope.freq_base", 10000.0)
        frequencies = float(base) ** (-np.arange(0, dims, 2, dtype=np.float64) / dims)
        if "rope_freqs.weight" in self.tensors:
            frequencies /= self.weight("rope_freqs").astype(np.float64)
        if self.key("llama.rope.scaling.type", "linear") != "none":
            frequencies /= float(self.key("llama.rope.scaling.factor", 1.0))
        return np.pad(frequencies, (0, (self.head_dim - dims) // 2))

    def rope(self, x, start):
        """x: [heads, positions, head_dim], the first position being `start`."""
        angles = np.arange(start, start + x.shape[1])[:, None] * self.frequencies
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        even, odd = x[..., 0::2], x[..., 1::2]
        out = np.empty_like(x)
        out[..., 0::2] = even * cos - odd * sin
        out[..., 1::2] = even * sin + odd * cos
        return out

    def attention(self, x, layer, cache):
        count, start = len(x), cache[layer][0].shape[1] if layer in cache else 0

        def heads(name, n):
            out = x @ self.weight(f"blk.{layer}.{name}").T
            return out.reshape(count, n, self.head_dim).transpose(1, 0, 2)

        q = self.rope(heads("attn_q", self.n_heads), start)
        k = self.rope(heads("attn_k", self.n_kv_heads), start)
        v = heads("attn_v", self.n_kv_heads)
        if layer in cache:
            k = np.concatenate([cache[layer][0], k], axis=1)
            v = np.concatenate([cache[layer][1], v], axis=1)
        cache[layer] = (k, v)
        group = self.n_heads // self.n_kv_heads
        visible = np.arange(start + count)[None, :] <= np.arange(start, start + count)[:, None]
        out = np.empty((count, self.n_heads, self.head_dim), dtype=np.float32)
        for head in range(self.n_heads):
            scores = q[head] @ k[head // group].T * np.float32(self.head_dim**-0.5)
            scores = np.where(visible, scores, np.float32(-np.inf))
            out[:, head] = softmax(scores) @ v[head // group]
        return out.reshape(count, -1) @ self.weight(f"blk.{layer}.attn_output").T

    def feed_forward(self, x, layer):
        gate = silu(x @ self.weight(f"blk.{layer}.ffn_gate").T)
        up = x @ self.weight(f"blk.{layer}.ffn_up").T
        return (gate * up) @ self.weight(f"blk.{layer}.ffn_down").T

    def hidden(self, tokens, cache=None):
        """Normalised states before the output head. cache: keys and values of the positions before
        these tokens by layer; extended."""
        cache = {} if cache is None else cache
        x = self.weight("token_embd")[np.asarray(tokens)]
        for layer in range(self.n_layers):
            norm = self.weight(f"blk.{layer}.attn_norm")
            x = x + self.attention(rms_norm(x, norm, self.eps), layer, cache)
            norm = self.weight(f"blk.{layer}.ffn_norm")
            x = x + self.feed_forward(rms_norm(x, norm, self.eps), layer)
        return rms_norm(x, self.weight("output_norm"), self.eps)

    def head(self, hidden):
        name = "output" if "output.weight" in self.tensors else "token_embd"
        return hidden @ self.weight(name).T

    def logits(self, tokens):
        return self.head(self.hidden(tokens))

    def greedy(self, prompt_ids, n):
        cache, ids, answer = {}, list(prompt_ids), []
        for _ in range(n):
            last = self.hidden(ids, cache)[-1]
            ids = [int(np.argmax(self.head(last)))]
            answer += ids
        return answer

    def log_probabilities(self, tokens):
        """Of each token but the first, given those before it."""
        logits = self.logits(tokens)[:-1].astype(np.float64)
        top = logits.max(axis=-1)
        total = top + np.log(np.exp(logits - top[:, None]).sum(axis=-1))
        return logits[np.arange(len(logits)), np.asarray(tokens[1:])] - total

    def perplexity(self, tokens, ctx):
        """Over consecutive windows of ctx tokens that know nothing of each other; every token but
        the first of a window counts. A last window of one token is left out."""
        windows = [tokens[at : at + ctx] for at in range(0, len(tokens), ctx)]
        each = [self.log_probabilities(window) for window in windows if len(window) > 1]
        return float(np.exp(-np.concatenate(each).mean()))


def load(path):
    return Llama(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("ids", type=int, nargs="+")
    parser.add_argument("--count", type=int, default=16)
    options = parser.parse_args()
    print(load(options.model).greedy(options.ids, options.count))


if __name__ == "__main__":
    main()
