"""The C template interpreter against Python's jinja2 under the settings of transformers.

Driven through tests/tools/render. Needs TANDEM_BUILD (default: the current folder); the embedded
model's template needs TANDEM_MODEL, the templates of real models the files of get_templates.py
(TANDEM_TEMPLATES or the cache). Texts must agree byte for byte, and what raises there must raise
here.
"""

import datetime
import json
import os
import pathlib
import subprocess

import pytest

import chat_grid
from get_vocabs import cache_folder

jinja2 = pytest.importorskip("jinja2")
from jinja2 import nodes, pass_eval_context  # noqa: E402
from jinja2.ext import Extension, loopcontrols  # noqa: E402
from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: E402

TOOL = pathlib.Path(os.environ.get("TANDEM_BUILD", ".")) / "tests" / "tools" / "render"
MODEL = os.environ.get("TANDEM_MODEL", "")
REAL = pathlib.Path(os.environ.get("TANDEM_TEMPLATES") or cache_folder() / "templates")
OWN = pathlib.Path(__file__).parent / "templates"
NOW = 1_700_000_000  # 14 November 2023


class Generation(Extension):
    """{% generation %}: gives out its body, which is a macro's."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    @pass_eval_context
    def _body(self, context, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    moment = datetime.datetime.fromtimestamp(NOW)
    env.globals["strftime_now"] = moment.strftime
    return env


ENV = environment()


def python_template(source):
    """A function that renders in Python: (text, None) or (None, error)."""
    try:
        template = ENV.from_string(source)
    except Exception as error:  # whatever it is, the C side must refuse too
        return lambda variables, error=error: (None, error)

    def render(variables):
        try:
            return template.render(**variables), None
        except Exception as error:
            return None, error

    return render


def c_render(jobs):
    """The answers to (source, variables) pairs, in order."""
    lines = [
        json.dumps({"template": source, "variables": variables, "now": NOW})
        for source, variables in jobs
    ]
    run = subprocess.run(
        [TOOL], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    answers = [json.loads(line) for line in run.stdout.split("\n")[:-1]]
    assert len(answers) == len(lines)
    return answers


def difference(name, answer, text, error):
    """What is wrong with the answer, or None."""
    if error is not None:
        return None if "error" in answer else f"{name}: Python raises {error!r}, C gives {answer}"
    if "error" in answer:
        return f"{name}: C fails with {answer['error']!r}, Python gives {text!r}"
    if answer["text"] != text:
        first = len(os.path.commonprefix([answer["text"], text]))
        window = slice(max(0, first - 40), first + 40)
        ours, theirs = answer["text"][window], text[window]
        return f"{name}, at {first}:\n  C      {ours!r}\n  Python {theirs!r}"
    if sum(size for size, _ in answer["spans"]) != len(text.encode()):
        return f"{name}: spans do not cover the text: {answer['spans']}"
    return None


def compare(source, cases):
    cases = list(cases)
    render = python_template(source)
    answers = c_render([(source, variables) for _, variables in cases])
    wrong = []
    texts = 0
    for (name, variables), answer in zip(cases, answers, strict=True):
        text, error = render(variables)
        texts += error is None
        found = difference(name, answer, text, error)
        if found:
            wrong.append(found)
    assert not wrong, f"{len(wrong)} of {len(cases)} differ\n" + "\n".join(wrong[:4])
    return texts


@pytest.mark.skipif(not MODEL, reason="TANDEM_MODEL is not set")
def test_embedded_template():
    """A server that talks to its own model in another format than it was trained on."""
    gguf = pytest.importorskip("gguf")
    field = gguf.GGUFReader(MODEL).fields["tokenizer.chat_template"]
    source = bytes(field.parts[field.data[0]]).decode()
    assert compare(source, chat_grid.grid()) > 100


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", sorted(OWN.glob("*.jinja")), ids=lambda path: path.stem)
def test_own_template(path):
    """A feature of the language that differs; each file says which."""
    assert compare(path.read_text(), chat_grid.grid()) > 0


REAL_TEMPLATES = sorted(REAL.glob("*.jinja"))


@pytest.mark.skipif(not REAL_TEMPLATES, reason="run get_templates.py first")
@pytest.mark.parametrize("path", REAL_TEMPLATES, ids=lambda path: path.stem)
def test_real_template(path):
    """A model in use whose template comes out differently."""
    compare(path.read_text(), chat_grid.grid())
