#!/usr/bin/env python3
"""Write the committed inputs of tests/fuzz/template.c: a template, a zero byte, its variables."""

import json
import pathlib

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Grüße <|im_end|>"},
    {"role": "assistant", "content": None, "tool_calls": [
        {"type": "function", "function": {"name": "f", "arguments": {"a": [1, 2.5, None]}}}]},
    {"role": "tool", "content": [{"type": "text", "text": "r"}]},
]  # fmt: skip
VARIABLES = {"messages": MESSAGES, "tools": [{"name": "f"}], "bos_token": "<s>", "x": "t"}

SNIPPETS = {
    "print": "{{ x }}{{- 1 + 2.5 -}} {{ 'a' ~ [1, {'k': none}] }}",
    "loop": "{% for a, b in [(1, 2)] if a recursive %}{{ loop.index }}{% else %}e{% endfor %}",
    "jump": "{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{% "
              "continue %}{% endfor %}",
    "macro": "{% macro f(a, b=1) %}{{ caller(a) if caller }}{{ varargs }}{{ "
              "kwargs }}{% endmacro %}"
             "{% call(q) f(2, x=3) %}{{ q }}{% endcall %}",
    "space": "{% set ns = namespace(a=1) %}{% set ns.a = ns.a ** 3 // 2 %}{{ ns "
              "}}{%+ raw -%} {{ {% endraw %}",
    "block": "{% filter upper|indent(2) %}a\n{% set y | trim %} b {% endset "
              "%}{{ y }}{% endfilter %}",
    "format": "{{ '%-5s|%05.1f|%x' % (x, 2.5, 255) }}{{ "
              "'{:>{w}}|{0!r:^9}|{:,}'.format(x, 1, w=4) }}",
    "slice": "{{ x[::-1] }}{{ messages[1:][0].content[2:-3] }}{{ "
              "range(9)[::2]|list }}{{ 'ä'[0] }}",
    "json": "{{ messages|tojson(indent=2, sort_keys=true, separators=(',', "
              "':'), ensure_ascii=true) }}",
    "method": "{{ x.split('t', 1) }}{{ ' a b '.strip().rsplit() }}{{ "
              "x.replace('', '-').title() }}"
              "{{ {'a': 1}.items() }}{{ x.partition('t') }}{{ x.center(9, '*') }}",
    "filter": "{{ messages|map(attribute='role')|unique|sort|join(',') }}{{ [1, "
              "2, 3]|batch(2)|list }}"
              "{{ messages|groupby('role') }}{{ messages|selectattr('content', "
              "'string')|list|length }}"
              "{{ '7'|int + '2.5'|float }}{{ 2.345|round(2) }}{{ '<a>'|e|safe "
              "}}{{ x|truncate(3) }}",
    "test": "{{ x is string and 3 is divisibleby 3 and x is not none and 1 is "
              "in [1] and 2 is gt 1 }}",
    "scope": "{% with a = 1 %}{% generation %}{{ a }}{% endgeneration %}{% "
              "endwith %}{# c -#}  {{ a }}",
    "time": "{{ strftime_now('%d %b %Y') }}{{ cycler(1, 2).next() }}{{ dict(a=1) }}",
    "raise": "{{ raise_exception('no ' ~ x) }}",
    "deep": "{{ ((((((((((x)))))))))) }}{{ not not - - + 1 if 1 else 2 }}",
}  # fmt: skip


def main():
    here = pathlib.Path(__file__).resolve().parent
    folder = here / "corpus" / "template"
    folder.mkdir(exist_ok=True)
    inputs = dict(SNIPPETS)
    for path in (here.parent / "reference" / "templates").glob("*.jinja"):
        inputs[f"own-{path.stem}"] = path.read_text()
    variables = json.dumps(VARIABLES, ensure_ascii=False)
    for name, source in inputs.items():
        (folder / name).write_bytes(source.encode() + b"\0" + variables.encode())


if __name__ == "__main__":
    main()
