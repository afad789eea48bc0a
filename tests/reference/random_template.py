"""Random templates: expressions of every operator, filter, test and method, and statements."""

VARIABLES = {
    "i": 7, "n": -3, "z": 0, "f": 2.5, "g": -0.1, "t": True, "none": None, "e": "",
    "s": "Hello World", "u": "Straße ΑΣ 你好 ǆ", "w": "  a-b c\n\n d\t",
    "html": "<a href='x'>&</a>",
    "digits": "12", "l": [3, 1, 2], "m": ["b", "A", "c", "a"], "k": [[1, 2], [3, 4]], "x": [],
    "d": {"b": 1, "A": [1, {"z": None}], "items": "mine", "ü": "ö"}, "o": {},
    "r": [{"name": "Bo", "age": 3}, {"name": "al", "age": 5, "tag": {"q": 1}}, {"name": "Cy"}],
}  # fmt: skip

NAMES = [*(name for name in VARIABLES if name != "none"), "missing", "new"]
LITERALS = [
    "0", "1", "2", "-1", "3.0", "1e3", "0.1", "1_000", "0x1F", "''", "'a'", '"b c"',
    "'é\\n\\t\\u00e9'",
    "'%s|%d'", "'{} {}'", "true", "False", "none", "[]", "{}", "()", "(1,)", "[1, 'a']",
    "{'a': 1, 2: 'b'}", "'a' 'b'", "'12'", "' 3.5 '",
]  # fmt: skip
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in",
             "and", "or"]  # fmt: skip
FILTERS = [
    "abs", "capitalize", "center(9)", "count", "default('D')", "default('D', true)", "d(1)",
    "dictsort", "dictsort(by='value')", "dictsort(true, reverse=true)", "e", "escape", "first",
    "float", "float(1.5)", "forceescape", "format(1, 'x')", "groupby('name')|list", "indent",
    "indent(2, true)", "indent(width=1, blank=true)", "indent('> ')", "int", "int(9)", "int(0, 16)",
    "items|list", "join", "join(', ')", "join('-', attribute='name')", "last", "length", "list",
    "lower", "map('upper')|list", "map(attribute='name')|list", "map('length')|list",
    "map(attribute='tag.q', default='n')|list", "map('default', 'x')|join", "max", "min",
    "min(attribute='name')", "max(case_sensitive=true)", "reject('defined')|list", "reject|list",
    "rejectattr('tag')|list", "replace('a', 'bb')", "replace('', '.')", "replace('l', 'L', 1)",
    "reverse|list", "reverse", "round", "round(1)", "round(1, 'floor')", "round(0, 'ceil')", "safe",
    "select|list", "select('string')|list", "select('gt', 1)|list", "select('in', [1, 'a'])|list",
    "selectattr('age')|list", "selectattr('name', 'equalto', 'Bo')|list", "slice(2)|list",
    "slice(3, 'f')|list", "batch(2)|list", "batch(2, none)|list", "batch(3, 0)|list", "sort",
    "sort(reverse=true)", "sort(attribute='name')", "sort(attribute='age,name')",
    "sort(case_sensitive=true)", "string", "sum", "sum(start=1)", "sum(attribute='age')", "title",
    "tojson", "tojson(indent=2)", "tojson(ensure_ascii=true)", "tojson(sort_keys=true)",
    "tojson(separators=(',', ':'))", "tojson(indent=1, sort_keys=true)", "trim", "trim('ab ')",
    "truncate(8)", "truncate(8, true, '~', 0)", "unique|list", "unique(true)|list", "upper",
    "urlencode", "wordcount", "attr('items') is callable", "attr('name')", "filesizeformat",
]  # fmt: skip
TESTS = [
    "boolean", "callable", "defined", "divisibleby 2", "divisibleby(0)", "eq(1)", "equalto('a')",
    "escaped", "even", "false", "filter", "float", "ge 2", "gt(1)", "in [1, 'a', none]", "integer",
    "iterable", "le 1", "lower", "lt 2", "mapping", "ne 1", "none", "number", "odd", "sameas none",
    "sequence", "string", "test", "true", "undefined", "upper",
]  # fmt: skip
METHODS = [
    "upper()", "lower()", "title()", "capitalize()", "swapcase()", "strip()", "strip('H d')",
    "lstrip()", "rstrip('d')", "split()", "split('l')", "split(' ', 1)", "split(none, 1)",
    "split(maxsplit=1)", "rsplit(' ', 1)", "rsplit()", "rsplit(none, 1)", "splitlines()",
    "splitlines(true)", "replace('l', 'r')", "replace('l', 'r', 1)", "startswith('H')",
    "startswith(('x', 'H'))", "endswith('d')", "startswith('e', 1)", "find('o')", "find('o', 5)",
    "rfind('o')", "rfind('o', 0, 5)", "index('o')", "count('l')", "count('')", "count('l', 3, 9)",
    "join(['x', 'y'])", "join('abc')", "partition(' ')", "rpartition('l')", "zfill(9)",
    "center(13, '*')", "ljust(12)", "rjust(12, '.')", "isdigit()", "isalpha()", "isalnum()",
    "isspace()", "islower()", "isupper()", "istitle()", "isnumeric()", "isdecimal()", "isascii()",
    "isprintable()", "removeprefix('He')", "removesuffix('ld')", "format(1, 2)", "format(a=1)",
    "get('b')", "get('q')", "get('q', 5)", "items()", "keys()", "values()", "copy()", "items",
    "keys()|list", "values()|list", "items()|list", "append(1)", "pop()", "pop('b')", "update({})",
    "index(1)", "count(1)", "b", "A", "name", "missing", "real", "__class__", "_x", "0", "1",
    "A.1.z", "is_integer()", "bit_length()",
]  # fmt: skip
INDEXES = [
    "0", "1", "-1", "99", "'b'", "'A'", "'items'", "'name'", "i", "none", "1:", ":2", "::2", "::-1",
    "-2:", "1:-1", ":-1:2", "5:1:-2", "s", "0, 1", "'pop'", "1.0", "true",
]  # fmt: skip
FORMATS = [
    "'%5.1f' % f", "'%-6s|' % s", "'%05d' % i", "'%x %X %o' % (255, 255, 8)", "'%(a)s' % {'a': 1}",
    "'%%' % ()", "'%r' % s", "'%+d % d' % (3, 3)", "'%e' % f", "'%g' % 1e10", "'%c' % 'x'",
    "'%.3s' % s", "'%.3d' % 5", "'%*d' % (5, 3)", "'%d' % 2.9", "'%i' % 'x'", "'%q' % 1", "'%' % 1",
    "'{:>8}|{:<8}|{:^9}|'.format(s[:3], 1, 2.5)", "'{0:05.2f} {1!r}'.format(f, s)",
    "'{a[b]} {b.missing}'.format(a=d, b=d)", "'{:,}'.format(1234567)", "'{:+} {: }'.format(3, 4)",
    "'{:x} {:#x} {:b} {:o}'.format(255, 255, 5, 8)", "'{:.3}'.format(s)", "'{:*^11}'.format(s[:5])",
    "'{:e} {:.2%} {:g}'.format(f, 0.256, 1e-7)", "'{{}} {}'.format(1)", "'{1} {}'.format(1, 2)",
    "'{:{}}|'.format('x', 4)", "'{'.format()", "'{:d}'.format('x')", "'{:08.3f}'.format(-3.14159)",
    "'{:.2}'.format(1234.5)", "'{:.0f} {:.0e}'.format(2.5, 12345.0)",
    "'{:010}|{:<05}'.format(-5, 3)",
]  # fmt: skip


class Writer:
    """Writes templates with the choices of a random.Random."""

    def __init__(self, random):
        self.random = random
        self.names = list(NAMES)

    def expression(self, depth=0):
        pick = self.random.choice
        kind = self.random.random()
        if depth > 3 or kind < 0.18:
            return pick(self.names) if self.random.random() < 0.7 else pick(LITERALS)
        inner = self.expression(depth + 1)
        if kind < 0.36:
            return f"{self.wrapped(inner)}|{pick(FILTERS)}"
        if kind < 0.46:
            return f"{self.wrapped(inner)} is {pick(('', 'not '))}{pick(TESTS)}"
        if kind < 0.60:
            return f"{self.wrapped(inner)}.{pick(METHODS)}"
        if kind < 0.70:
            return f"{self.wrapped(inner)}[{pick(INDEXES)}]"
        if kind < 0.86:
            other = self.wrapped(self.expression(depth + 1))
            return f"{self.wrapped(inner)} {pick(OPERATORS)} {other}"
        if kind < 0.90:
            other = f" else {self.expression(depth + 1)}" if self.random.random() < 0.7 else ""
            return f"{inner} if {self.wrapped(self.expression(depth + 1))}{other}"
        if kind < 0.93:
            return pick(FORMATS)
        if kind < 0.96:
            return f"[{inner}, {self.expression(depth + 1)}]"
        if kind < 0.98:
            return f"{{'k': {inner}, {pick(LITERALS[:18])}: 1}}"
        return f"{pick(('not ', '-', '+'))}{self.wrapped(inner)}"

    def simple(self):
        """An expression that seldom raises, so that statements around it get their turn."""
        pick = self.random.choice
        name, other = pick(self.names), pick(LITERALS)
        return pick(
            (name, name, other, f"{name} ~ {other}", f"{name} == {other}", f"{name}|string|upper",
             f"{name} is defined", f"not {name}", f"{name} if {other} else {other}", f"[{name}]",
             f"{name} and {other}", f"{name}|default('D')|string|length", f"'%s' % [{name}]",
             f"{name}|tojson if {name} is defined else 1", f"{name} in [{other}]")
        )  # fmt: skip

    def wrapped(self, text):
        return text if text.isidentifier() else f"({text})"

    def tag(self, text):
        left, right = self.random.choice(("", "", "-", "+")), self.random.choice(("", "", "-", "+"))
        return "{%" + left + " " + text + " " + right + "%}"

    def text(self):
        return self.random.choice(
            ("a", " b ", "\n", "\n  ", "  \n\n", "c\n", " ", "", "{# note #}\n")
        )

    def printed(self):
        left, right = self.random.choice(("", "-")), self.random.choice(("", "-"))
        return "{{" + left + " " + self.simple() + " " + right + "}}"

    def body(self, depth):
        return "".join(self.piece(depth) for _ in range(self.random.randrange(1, 5)))

    def piece(self, depth):
        kind = self.random.random()
        if depth > 3 or kind < 0.3:
            return self.text()
        if kind < 0.5:
            return self.printed()
        maker = self.random.choice(
            (self.loop, self.loop, self.choice, self.choice, self.assign, self.assign, self.capture,
             self.macro, self.scope, self.space)
        )  # fmt: skip
        return maker(depth + 1)

    def loop(self, depth):
        target, source = self.random.choice(
            (("q", "l"), ("q", "m"), ("q, v", "d.items()"), ("q, v", "d|dictsort"), ("q", "s"),
             ("(q, v)", "k"), ("q", "range(4)"), ("q", "x"), ("q", "r"), ("q", self.simple()))
        )  # fmt: skip
        test = self.random.choice(("", "", "", " if q", " if q != 1", " if loop"))
        field = self.random.choice(
            ("index", "index0", "first", "last", "length", "revindex", "revindex0", "previtem",
             "nextitem", "depth", "depth0", "cycle('a', 'b')", "changed(q)")
        )  # fmt: skip
        jump = self.random.choice(("", "", self.tag("if loop.index == 2") + self.tag(
            self.random.choice(("break", "continue"))) + self.tag("endif")))  # fmt: skip
        other = self.tag("else") + self.body(depth) if self.random.random() < 0.3 else ""
        self.names += ["q", "q"]
        inner = "{{ loop." + field + " }}" + jump + self.body(depth)
        del self.names[-2:]
        return self.tag(f"for {target} in {source}{test}") + inner + other + self.tag("endfor")

    def choice(self, depth):
        middle = ""
        if self.random.random() < 0.4:
            middle = self.tag(f"elif {self.simple()}") + self.body(depth)
        if self.random.random() < 0.6:
            middle += self.tag("else") + self.body(depth)
        start = self.tag(f"if {self.simple()}")
        return start + self.body(depth) + middle + self.tag("endif")

    def assign(self, depth):
        name = self.random.choice(("i", "s", "new", "q", "v"))
        if self.random.random() < 0.2:
            return self.tag(f"set {name}") + self.body(depth) + self.tag("endset")
        if self.random.random() < 0.2:
            return self.tag(f"set {name}, v = {self.simple()}, {self.simple()}")
        return self.tag(f"set {name} = {self.simple()}")

    def space(self, depth):
        del depth
        start = self.tag("set ns = namespace(a=1, s='')")
        loop = self.tag("for q in m") + self.tag("set ns.a = ns.a + loop.index")
        end = self.tag("set ns.s = ns.s ~ q") + self.tag("endfor")
        return start + loop + end + "{{ ns.a }}{{ ns.s }}"

    def capture(self, depth):
        name = self.random.choice(("upper", "trim", "indent(2)", "replace('a', 'b')|title"))
        return self.tag(f"filter {name}") + self.body(depth) + self.tag("endfilter")

    def scope(self, depth):
        if self.random.random() < 0.5:
            return self.tag(f"with v = {self.simple()}") + self.body(depth) + self.tag("endwith")
        return self.tag("generation") + self.body(depth) + self.tag("endgeneration")

    def macro(self, depth):
        start = self.tag("macro mac(p, o=1)")
        rest = self.random.choice(
            ("", "{{ varargs }}", "{{ kwargs }}", "{{ caller(1) if caller }}")
        )
        self.names += ["p", "o"]
        inner = self.body(depth)
        del self.names[-2:]
        use = self.random.choice(
            ("{{ mac(1) }}", "{{ mac() }}", "{{ mac(1, 2, 3) }}", "{{ mac(o=i, p=s) }}",
             "{{ mac(1, x=2) }}", "{% call(c) mac(5) %}[{{ c }}]{% endcall %}")
        )  # fmt: skip
        return start + inner + rest + self.tag("endmacro") + use
