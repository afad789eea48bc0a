"""Random templates, rendered by the C interpreter and by jinja2: the same text, or both refuse.

A seed that fails is printed with its template. Needs TANDEM_BUILD (default: the current folder).
"""

import copy
import random
import re

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::SyntaxWarning")
pytest.importorskip("jinja2")
from random_template import VARIABLES, Writer  # noqa: E402
from test_chat_template import c_render, difference, python_template  # noqa: E402

# What the C side's header says it does not do; jinja2 slices constants that have no slices to
# undefined values when it folds them, and raises for the same value in a variable.
UNSUPPORTED = re.compile("64 bits|complex numbers|cannot be sliced")
ADDRESS = re.compile(" at 0x[0-9a-f]+|<bound method|<built-in method|<function|<generator")


def check(seeds, write):
    sources = [write(Writer(random.Random(seed))) for seed in seeds]
    answers = c_render([(source, VARIABLES) for source in sources])
    wrong = []
    texts = 0
    for seed, source, answer in zip(seeds, sources, answers, strict=True):
        if UNSUPPORTED.search(answer.get("error", "")):
            continue
        text, error = python_template(source)(copy.deepcopy(VARIABLES))
        if error is None and ADDRESS.search(text):
            continue
        texts += error is None
        found = difference(f"seed {seed}: {source!r}", answer, text, error)
        if found:
            wrong.append(found)
    assert not wrong, f"{len(wrong)} of {len(sources)} differ\n" + "\n".join(wrong[:12])
    assert texts > len(sources) // 4


@pytest.mark.parametrize("block", range(8))
def test_random_expressions(block):
    """An operator, filter, test or method that gives another value."""
    check(range(block * 1000, block * 1000 + 1000), lambda w: "{{ " + w.expression() + " }}")


@pytest.mark.parametrize("block", range(8))
def test_random_statements(block):
    """Scoping, white space control or loops that work differently when they meet."""
    check(range(block * 250, block * 250 + 250), lambda w: w.body(0) + w.body(0))
