"""Conversations that templates are compared over: what clients send, and what they should not."""

import itertools

SYSTEM = {"role": "system", "content": "You are a careful assistant.\nBe brief."}
USER = {"role": "user", "content": "What is 2 + 2?"}
ASSISTANT = {"role": "assistant", "content": "It is 4."}
UNICODE = {
    "role": "user",
    "content": "Grüße, Ωmega ß ǅ, 你好 👋🏽 <|im_end|> </s> \u00a0\u2028end \\ \"q\" 'q'",
}
EMPTY = {"role": "user", "content": ""}
SPACES = {"role": "user", "content": "  \n padded \t\n"}
PARTS = {
    "role": "user",
    "content": [{"type": "text", "text": "first part"}, {"type": "text", "text": "second part"}],
}
IMAGE = {
    "role": "user",
    "content": [{"type": "image"}, {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "http://h/i.png"}}],
}  # fmt: skip
NOTHING = {"role": "assistant", "content": None}
THOUGHT = {"role": "assistant", "content": "So 4.", "reasoning_content": "Two and two\nmake four."}
TAGGED = {"role": "assistant", "content": "<think>\nhm, two\n</think>\n\nThe answer is 4."}
THINKING = {"role": "assistant", "content": "4", "thinking": "add them", "reasoning": "add"}
DEVELOPER = {"role": "developer", "content": "Answer in verse."}
UNKNOWN = {"role": "narrator", "content": "Meanwhile"}

ARGUMENTS = {
    "city": "Köln",
    "days": 3,
    "units": ["°C", "mm"],
    "nested": {"a": None, "b": [True, False, 1.5, -0.0, 1e21]},
    "text": "line\n\"quoted\" <tag> & 'single'",
}


def call(arguments, content="", identity="call12345", kind="function"):
    """An assistant message that calls one tool."""
    function = {"name": "get_weather", "arguments": arguments}
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [{"id": identity, "type": kind, "function": function}],
    }


CALL_DICT = call(ARGUMENTS)
CALL_TEXT = call('{"city": "Köln", "days": 3}', content="Let me look.")
CALL_NONE = call({}, content=None)
CALL_TWO = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "abcdefgh1", "type": "function",
         "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}},
        {"id": "abcdefgh2", "type": "function",
         "function": {"name": "get_time", "arguments": {"zone": "UTC", "precise": True}}},
    ],
}  # fmt: skip
CALL_THOUGHT = {**call({"city": "Bonn"}), "reasoning_content": "I need the weather."}
BARE_CALL = {"role": "assistant", "content": "",
             "tool_calls": [{"name": "get_weather", "arguments": {"city": "Rom"}}]}  # fmt: skip
RESULT = {
    "role": "tool", "name": "get_weather", "tool_call_id": "call12345",
    "content": '{"temp": 21.5, "sky": "clear"}',
}  # fmt: skip
RESULT_DICT = {"role": "tool", "name": "get_weather", "tool_call_id": "call12345",
               "content": {"temp": 21.5, "sky": "clear"}}  # fmt: skip
RESULT_PARTS = {"role": "tool", "name": "get_weather", "tool_call_id": "call12345",
                "content": [{"type": "text", "text": "21 degrees"}]}  # fmt: skip
RESULTS = [
    {"role": "tool", "name": "get_weather", "tool_call_id": "abcdefgh1", "content": "rain"},
    {"role": "tool", "name": "get_time", "tool_call_id": "abcdefgh2", "content": "12:00"},
]

CONVERSATIONS = {
    "none": [],
    "user": [USER],
    "system": [SYSTEM, USER],
    "system only": [SYSTEM],
    "turns": [SYSTEM, USER, ASSISTANT, {"role": "user", "content": "And 3 + 3?"}],
    "turns without system": [USER, ASSISTANT, USER, ASSISTANT, USER],
    "ends with assistant": [USER, ASSISTANT],
    "starts with assistant": [ASSISTANT, USER],
    "two users": [USER, USER],
    "two systems": [SYSTEM, USER, SYSTEM],
    "unicode": [UNICODE, {"role": "assistant", "content": "Ça va, здравствуй ΑΣ"}, UNICODE],
    "empty": [EMPTY],
    "empty system": [{"role": "system", "content": ""}, USER],
    "spaces": [SPACES, {"role": "assistant", "content": "\n x \n"}, SPACES],
    "parts": [PARTS],
    "system parts": [{"role": "system", "content": [{"type": "text", "text": "sys"}]}, PARTS],
    "image": [IMAGE],
    "none content": [USER, NOTHING, USER],
    "no content": [{"role": "user"}],
    "no role": [{"content": "x"}],
    "reasoning": [USER, THOUGHT, USER],
    "reasoning last": [USER, THOUGHT],
    "tagged": [USER, TAGGED, USER],
    "tagged last": [USER, TAGGED],
    "thinking": [USER, THINKING, USER],
    "developer": [DEVELOPER, USER],
    "unknown role": [USER, UNKNOWN],
    "call dict": [SYSTEM, USER, CALL_DICT, RESULT],
    "call text": [USER, CALL_TEXT, RESULT, ASSISTANT, USER],
    "call none": [USER, CALL_NONE, RESULT],
    "call open": [USER, CALL_DICT],
    "two calls": [USER, CALL_TWO, *RESULTS, ASSISTANT, USER],
    "calls twice": [USER, CALL_DICT, RESULT, CALL_TEXT, RESULT, ASSISTANT, USER],
    "call thought": [USER, CALL_THOUGHT, RESULT, THOUGHT, USER],
    "bare call": [USER, BARE_CALL, RESULT],
    "result dict": [USER, CALL_DICT, RESULT_DICT],
    "result parts": [USER, CALL_DICT, RESULT_PARTS],
    "result alone": [RESULT],
    "empty calls": [USER, {"role": "assistant", "content": "x", "tool_calls": []}, USER],
}

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city: temperature, \"sky\" <b>&</b> wind 'now'",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name, e.g. Köln"},
                "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
                "days": {"type": ["integer", "null"], "minimum": 1},
                "places": {"type": "array", "items": {"type": "object", "properties": {
                    "lat": {"type": "number"}, "tags": {"type": "array"}}}},
            },
            "required": ["city"],
            "additionalProperties": False,
        },
        "return": {"type": "object"},
    },
}  # fmt: skip
TIME = {
    "type": "function",
    "function": {"name": "get_time", "description": "Time.",
                 "parameters": {"type": "object", "properties": {}}},
}  # fmt: skip
BARE = {"name": "bare", "description": "no wrapper", "parameters": {}}
TOOLS = {"absent": None, "none": [], "one": [WEATHER], "two": [WEATHER, TIME], "bare": [BARE]}

DOCUMENTS = [{"title": "A", "text": "first"}, {"title": "B", "text": "zweites"}]
EXTRAS = [
    {},
    {"enable_thinking": False},
    {"enable_thinking": True, "documents": DOCUMENTS, "custom_tools": [], "thinking": True,
     "builtin_tools": ["code_interpreter"], "reasoning_effort": "low", "date_string": "1 May 2024",
     "functions": "[]", "datetime": "noon", "model_identity": "You are a test.",
     "keep_past_thinking": True, "xml_tools": True},
]  # fmt: skip

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def grid():
    """(name, variables) of every combination worth having."""
    for name, messages in CONVERSATIONS.items():
        tools = ["absent", "one"] if "call" not in name else ["absent", "one", "two"]
        for tool, prompt in itertools.product(tools, (False, True)):
            yield from cases(name, messages, tool, prompt, EXTRAS[:1])
    for name in ("turns", "call dict", "tagged", "reasoning last"):
        for tool, prompt in itertools.product(TOOLS, (False, True)):
            yield from cases(name, CONVERSATIONS[name], tool, prompt, EXTRAS[1:])


def cases(name, messages, tool, prompt, extras):
    for number, extra in enumerate(extras):
        variables = {"messages": messages, "add_generation_prompt": prompt, **SPECIAL, **extra}
        if TOOLS[tool] is not None:
            variables["tools"] = TOOLS[tool]
        yield f"{name}, tools {tool}, prompt {prompt}, extra {number}", variables
