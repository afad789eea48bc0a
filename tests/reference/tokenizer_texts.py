"""Texts for tokenizer comparisons: scripts, code, emoji, whitespace, and seeded random strings."""

import functools
import random
import sys
import unicodedata

SCRIPTS = [
    "The quick brown fox jumps over the lazy dog; it's 12,345.67 times faster than I'd thought.",
    "WE'LL SEE what THEY'RE up to, won't we? I'M sure he'D say \u201cyes\u201d \u2014 don't you?",
    "Ça coûte 3,50 € à l'œil, mais où est passé l'été dernier ?",
    "Die Straße ist größer als früher; Äpfel, Öl und Übermut kosten 1.234,56 €.",
    "El niño comió piñas en Ávila. ¿Qué más? ¡Nada!",
    "Cửa hàng mở cửa lúc 7 giờ sáng, nhưng hôm nay đóng cửa.",
    "Vie\u0302\u0323t Nam a\u0301e\u0300i\u0302o\u0303u\u0308 n\u0323\u0307",
    "Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "İstanbul'da ışık, DİYARBAKIR'dan İzmir'e 1.400 km.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. №42",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία; ΑΒΓ αβγ ᾳ ῳ.",
    "Լինում է, չի լինում մի թագավոր։ ქართული ენა ძალიან ლამაზია.",
    "نص عربي مع أرقام ١٢٣٤٥ وعلامات، ثم كلمة مُشَكَّلَة.",
    "این یک متن فارسی است؛ می‌خواهم ۱۲۳ را ببینم.",
    "שָׁלוֹם עוֹלָם, זהו טקסט עם ניקוד ו-123 מספרים.",
    "यह हिन्दी का एक वाक्य है। संख्या १२३४ और क्ष त्र ज्ञ।",
    "আমি বাংলায় গান গাই। ১২৩ தமிழ் மொழி மிகவும் பழமையானது. తెలుగు భాష",
    "ภาษาไทยไม่มีช่องว่างระหว่างคำ ๑๒๓ ພາສາລາວ ភាសាខ្មែរ មានអក្សរ មြန်မာဘာသာ",
    "中文没有空格，但有标点。数字１２３和三百。漢字與简体字。",
    "日本語のテキスト：ひらがな、カタカナ、漢字。ｶﾀｶﾅ ー 〜 々",
    "한국어 문장입니다. 조합형 \u1112\u1161\u11ab 과 ㄱㄴㄷ.",
    "አማርኛ ጽሑፍ። བོད་ཡིག་ འདི་ ᠮᠣᠩᠭᠣᠯ ᏣᎳᎩ ᚠᚢᚦ 𐍈𐌰 𒀀𒁀",
    "𝓜𝓪𝓽𝓱 𝟙𝟚𝟛 ∑∫√ x² + y³ = z⁴ ½ ⅷ Ⅻ ① ㊿ ﬁ ﬃ Ǆ ǅ ǆ",
    "🚀 (normal) 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇯🇵 👍🏽 ✅ ☃️ 1️⃣ \u200d\ufe0f🫠",
]
CODE = [
    "int main(int argc, char **argv)\n{\n\tfor (int i = 0; i < 10; i++)\n"
    '\t\tprintf("%d\\n", i);\n    return 0;\n}\n',
    "def f(x):\n    '''Doc.'''\n    return {**x, 'k': [i**2 for i in range(3)]}  # note\n\n\n",
    '{"name": "x", "list": [1, 2.5e-10, null, true], "nested": {"a": {"b": {}}}}',
    "SELECT * FROM t WHERE a<>'b' AND c>=10;--comment\r\n<div class=\"x\">&nbsp;</div>\r\n",
    "https://example.org/a/b?c=d&e=%20f#g user@example.org 192.168.0.1 0xDEADBEEF",
    "x=1;y=22;z=333;w=4444;v=55555;u=666666 1,000,000 3.14159 v1.2.3-rc4 2026-11-22T06:30:00Z",
    "camelCase PascalCase snake_case SCREAMING_SNAKE kebab-case HTTPServer2XX iPhone15Pro",
    "\\begin{align} \\frac{a}{b} &= \\sqrt[3]{x} \\\\ \\end{align} $$ ^^^ ~~~ ``` ### ---",
    "<|im_start|>user\nHi<|im_end|>\n<|endoftext|></s><s>[INST] <tool_call>",
]
SPACES = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\n\n\n", "\r\n\r\n", " \n", "\n ", "\t\n \t",
    "a b", "a  b", "a   b", "a    b", " a", "  a", "a ", "a  ", "a\tb", "a\t\tb", "a\n\nb",
    "a \n b", "a \n\n  b", "\n\n\n    indented", "1  2   3", "1\n2", "x  1", "  !", " !!  ??",
    "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u0085g\u1680h\u180ei\u200bj\ufeffk\u202fl\u205fm",
    "\u3000\u3000全角", " \u00a0 \u00a0x", "\x00", "a\x00b\x01\x02\x1f\x7f\x80\x9f",
    "\x0b\x0c\x1c\x1d", "\u0301", " \u0301", "\n\u0301a", "'", "''s", "'s", " 's", "a's", "1's",
    "'S 'LL 'Re", "\u017f 'ſ",
]  # fmt: skip


@functools.cache
def _assigned():
    """All characters assigned in this Python's Unicode, without surrogates and private use."""
    return [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")
    ]


def _ascii_noise(rng):
    return "".join(chr(rng.choice([9, 10, 13, 32, 32, rng.randrange(33, 127)])) for _ in range(40))


def _any_characters(rng):
    return "".join(rng.choice(_assigned()) for _ in range(rng.randrange(1, 24)))


def _spaced_characters(rng):
    pool = [" ", "  ", "\n", "\r\n", "'s", "'LL", "1", "23", "a", "B", "é", "中", "!", "/", "\u0301"]
    return "".join(
        rng.choice(pool) if rng.random() < 0.8 else rng.choice(_assigned()) for _ in range(30)
    )


def _shuffled_lines(rng):
    lines = SCRIPTS + CODE
    words = [word for line in rng.sample(lines, 3) for word in line.split(" ")]
    rng.shuffle(words)
    return " ".join(words[:20])


def random_texts(count, seed):
    rng = random.Random(seed)
    kinds = [_ascii_noise, _any_characters, _spaced_characters, _shuffled_lines]
    return [kinds[i % len(kinds)](rng) for i in range(count)]


def fixed_texts():
    lines = SCRIPTS + CODE + SPACES
    return [*lines, "\n".join(SCRIPTS), "\n".join(CODE), "a" * 3000, " " * 3000, "ab" * 1500]
