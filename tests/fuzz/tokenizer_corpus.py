#!/usr/bin/env python3
"""Write the committed inputs of tests/fuzz/tokenizer.c: one text per vocabulary and border."""

import pathlib

TEXTS = {
    "control": "<|bos|>hello<|eos|><|im_end|><tool>x</s><s>".encode(),
    "scripts": "Ab'S é 中文 한국 ١٢٣ 🚀👨‍👩‍👧 a\u0301".encode(),
    "spaces": "   \t\n\r\n a  1\u3000\u2028\u180e ".encode(),
    "merges": b"aaaaaaa abcabcabc hello hellhello 12345",
    "invalid": b"a\xff\xe2\x82b\xed\xa0\x80\xf0\x9f\x98\xc0\xaf\x00\xf4\x90\x80\x80 \xe2",
    "code": b"HTTPServer2XX['it''s'] += 0x1F;\n\n\t// !?\n",
}


def main():
    folder = pathlib.Path(__file__).resolve().parent / "corpus" / "tokenizer"
    folder.mkdir(exist_ok=True)
    for vocabulary in range(8):
        for number, (name, text) in enumerate(TEXTS.items()):
            trusted = (vocabulary * 5 + number * 7) % 30
            (folder / f"{name}-{vocabulary}").write_bytes(bytes([vocabulary, trusted]) + text)


if __name__ == "__main__":
    main()
