#!/usr/bin/env python3
"""Writes model/jinja_tables.c: what Python's str methods know about characters.

Run with the Python whose Unicode version is wanted: python3 model/jinja_tables.py
"""

import pathlib
import unicodedata

LAST = 0x110000
CLASSES = ("isalpha", "isdecimal", "isdigit", "isnumeric", "isprintable", "islower", "isupper")


def edges(test):
    """Code points where the answer of `test` changes; it is False before the first."""
    found, before = [], False
    for code in range(LAST):
        now = test(chr(code))
        if now != before:
            found.append(code)
            before = now
    return found


def runs(method):
    """(first, last, stride, delta) of characters that map to one other character."""
    pairs = []
    for code in range(LAST):
        mapped = getattr(chr(code), method)()
        if len(mapped) == 1 and ord(mapped) != code:
            pairs.append((code, ord(mapped) - code))
    found, i = [], 0
    while i < len(pairs):
        first, delta = pairs[i]
        j, stride = i, 0
        while j + 1 < len(pairs) and pairs[j + 1][1] == delta:
            step = pairs[j + 1][0] - pairs[j][0]
            if step > 2 or (stride and step != stride):
                break
            stride, j = step, j + 1
        found.append((first, pairs[j][0], stride or 1, delta))
        i = j + 1
    return found


def specials(method, usual):
    """Characters whose mapping is not `usual`, with the UTF-8 they become."""
    found = []
    for code in range(LAST):
        mapped = getattr(chr(code), method)()
        if mapped != usual(chr(code), mapped):
            text = "".join(f"\\x{byte:02x}" for byte in mapped.encode())
            found.append((code, text))
    return found


def wrap(items):
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([*lines, line]) + "\n"


def several(char, mapped):
    return mapped if len(mapped) == 1 else char


def main():
    out = [
        "/*\n * Unicode %s as Python's str methods see it. Written by jinja_tables.py.\n"
        " * Owner: constant.\n */\n" % unicodedata.unidata_version,
        '#include "model/jinja_unicode.h"\n\n/* clang-format off */\n',
    ]
    for name in CLASSES:
        codes = edges(lambda char, name=name: getattr(char, name)())
        out.append(f"static const uint32_t {name[2:]}_edges[] = {{\n")
        out.append(wrap([f"0x{code:x}" for code in codes]) + "};\n\n")
    for name in ("upper", "lower"):
        rows = [f"{{0x{a:x}, 0x{b:x}, {s}, {d}}}" for a, b, s, d in runs(name)]
        out.append(f"static const struct jinja_case_run {name}_runs[] = {{\n")
        out.append(wrap(rows) + "};\n\n")
    for name, usual in (("upper", several), ("lower", several)):
        rows = [f'{{0x{c:x}, "{t}"}}' for c, t in specials(name, usual)]
        out.append(f"static const struct jinja_case_special {name}_specials[] = {{\n")
        out.append(wrap(rows) + "};\n\n")
    rows = [f'{{0x{c:x}, "{t}"}}' for c, t in specials("title", lambda char, _: char.upper())]
    out.append("static const struct jinja_case_special title_specials[] = {\n")
    out.append(wrap(rows) + "};\n\n")
    out.append("#define TABLE(table) table, sizeof(table) / sizeof(table)[0]\n\n")
    out.append("const struct jinja_class_table jinja_class_tables[JINJA_CLASSES] = {\n")
    for name in CLASSES:
        out.append(f"    [JINJA_{name[2:].upper()}] = {{TABLE({name[2:]}_edges)}},\n")
    out.append("};\n\nconst struct jinja_case_table jinja_case_tables[JINJA_CASES] = {\n")
    out.append("    [JINJA_TO_UPPER] = {TABLE(upper_runs), TABLE(upper_specials)},\n")
    out.append("    [JINJA_TO_LOWER] = {TABLE(lower_runs), TABLE(lower_specials)},\n")
    out.append("    [JINJA_TO_TITLE] = {TABLE(upper_runs), TABLE(title_specials)},\n};\n")
    out.append("/* clang-format on */\n")
    pathlib.Path(__file__).with_name("jinja_tables.c").write_text("".join(out))


if __name__ == "__main__":
    main()
