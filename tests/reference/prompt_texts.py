"""Texts of different kinds whose next tokens two engines are compared over."""

CHAT = """<|im_start|>system
You are a patient tutor. Answer in two or three sentences and name your source.<|im_end|>
<|im_start|>user
Why does the moon always show us the same side?<|im_end|>
<|im_start|>assistant
Its rotation takes exactly as long as its orbit, because the tides that the Earth raises in its
rock slowed it down until both periods matched.<|im_end|>
<|im_start|>user
And does the Earth do the same towards the moon? What would change if it did?<|im_end|>
<|im_start|>assistant
"""

CODE = '''def merge_intervals(intervals):
    """Returns sorted, disjoint intervals that cover the same points."""
    merged = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


class Counter:
    def __init__(self, limit=10):
        self.limit = limit
        self.value = 0

    def step(self):
        if self.value < self.limit:
            self.value += 1
        return self.value
'''

PROSE = """The ferry left the harbour an hour late, as it did on most mornings in winter. Nobody on
board complained. Two fishermen played cards on an upturned crate, a schoolteacher corrected essays
with a pencil stub, and the captain's dog slept across the doorway so that everyone who wanted tea
had to step over it. When the island came into view the rain stopped, and for a few minutes the
whole coast shone as if somebody had polished it. "You should see it in June," said the teacher
without looking up from her papers.
"""

LISTS = """Shopping for the week:

- 2 kg of potatoes
- 6 eggs
- 1 litre of milk
- bread, butter and cheese

How to change a bicycle tube:

1. Open the brake and take the wheel out of the frame.
2. Lift one side of the tyre over the rim with two levers.
3. Pull out the old tube and feel the inside of the tyre for glass.
4. Put a little air into the new tube and lay it in evenly.
5. Press the tyre back over the rim by hand.

| planet | moons | year in days |
|---|---|---|
| Mercury | 0 | 88 |
| Venus | 0 | 225 |
| Earth | 1 | 365 |
"""

DATA = """{"order": 1042, "customer": {"name": "Ana Ruiz", "city": "Sevilla"}, "lines": [
  {"item": "lamp", "count": 2, "price": 19.90},
  {"item": "chair", "count": 4, "price": 45.00},
  {"item": "table", "count": 1, "price": 180.50}
], "paid": true, "notes": null}
2026-03-01 09:14:02 INFO order 1042 accepted
2026-03-01 09:14:03 INFO order 1042 sent to the warehouse
2026-03-01 09:20:41 WARN order 1042 waits: chair, 3 of 4 in stock
"""

LANGUAGES = """Der Zug nach Hamburg fährt heute von Gleis sieben. Le chat dort sur la chaise près de
la fenêtre ouverte. El tren llegó a la estación con diez minutos de retraso. Il gatto nero beve il
latte e poi torna a dormire. The same thing in English: the train arrived ten minutes late.
"""

ALL = {"chat": CHAT, "code": CODE, "prose": PROSE, "lists": LISTS, "data": DATA,
       "languages": LANGUAGES}  # fmt: skip
