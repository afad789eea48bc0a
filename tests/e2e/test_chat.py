"""What OpenAI's own client sees: chat and completions, streaming and not."""

import pytest

from serving import NAME

QUESTION = [{"role": "user", "content": "What is 2+2?"}]


def test_chat(openai):
    answer = openai.chat.completions.create(model=NAME, messages=QUESTION, temperature=0,
                                            max_tokens=48)
    assert answer.object == "chat.completion"
    assert answer.model == NAME
    assert answer.id.startswith("chatcmpl-")
    assert answer.created > 1_700_000_000
    [choice] = answer.choices
    assert choice.index == 0
    assert choice.message.role == "assistant"
    assert "4" in choice.message.content
    assert choice.finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_chat_stream_has_the_same_text(openai):
    whole = openai.chat.completions.create(model=NAME, messages=QUESTION, temperature=0,
                                           max_tokens=48)
    chunks = list(openai.chat.completions.create(model=NAME, messages=QUESTION, temperature=0,
                                                 max_tokens=48, stream=True))
    assert all(c.object == "chat.completion.chunk" for c in chunks)
    assert len({c.id for c in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(c.choices[0].delta.role is None for c in chunks[1:] if c.choices)
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert text == whole.choices[0].message.content
    reasons = [c.choices[0].finish_reason for c in chunks]
    assert reasons[-1] == "stop" and not any(reasons[:-1])
    assert all(c.usage is None for c in chunks)
    assert sum(bool(c.choices[0].delta.content) for c in chunks) > 2, "one chunk is no stream"


def test_stream_usage_comes_once_and_last(openai):
    chunks = list(openai.chat.completions.create(
        model=NAME, messages=QUESTION, max_tokens=8, stream=True,
        stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens <= 8
    assert chunks[-1].usage.prompt_tokens > 10
    assert all(c.usage is None for c in chunks[:-1])


def test_completion(openai):
    """The tokens are those of a Python implementation of the model, in 32-bit floats."""
    answer = openai.completions.create(model=NAME, prompt="The capital of France is",
                                       temperature=0, max_tokens=4)
    assert answer.object == "text_completion"
    assert answer.choices[0].text == " Paris.\n\n"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.prompt_tokens == 5
    assert answer.usage.completion_tokens == 4


def test_completion_stream(openai):
    chunks = list(openai.completions.create(model=NAME, prompt="The capital of France is",
                                            temperature=0, max_tokens=4, stream=True))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == " Paris.\n\n"
    assert chunks[-1].choices[0].finish_reason == "length"


def test_completion_defaults_to_16_tokens(openai):
    answer = openai.completions.create(model=NAME, prompt="Once upon a time", temperature=0,
                                       extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 16


@pytest.mark.parametrize("stream", [False, True])
def test_several_prompts(openai, stream):
    prompts = ["The capital of France is", "One, two, three,"]
    alone = [openai.completions.create(model=NAME, prompt=p, temperature=0,
                                       max_tokens=6).choices[0].text for p in prompts]
    answer = openai.completions.create(model=NAME, prompt=prompts, temperature=0, max_tokens=6,
                                       stream=stream)
    texts = ["", ""]
    for part in answer if stream else [answer]:
        for choice in part.choices:
            texts[choice.index] += choice.text
    assert texts == alone


def test_prompt_of_token_ids(openai, server):
    ids = server.tokens("The capital of France is")
    answer = openai.completions.create(model=NAME, prompt=ids, temperature=0, max_tokens=4)
    assert answer.choices[0].text == " Paris.\n\n"
    assert answer.usage.prompt_tokens == len(ids)


def test_conversation(openai):
    """Content parts are the same as text, developer is system, earlier turns change the answer."""
    def answer(role, first, last):
        return openai.chat.completions.create(
            model=NAME, temperature=0, max_tokens=12, extra_body={"ignore_eos": True},
            messages=[{"role": role, "content": "You answer with one word."},
                      {"role": "user", "content": first},
                      {"role": "assistant", "content": "Hello Ada!"},
                      {"role": "user", "content": last}])

    whole = answer("system", "My name is Ada.", "What is my name?")
    parts = answer("developer", [{"type": "text", "text": "My name is Ada."}],
                   [{"type": "text", "text": "What is my name?"}])
    other = answer("system", "My name is Bob, if you ask me.", "What is my name?")
    assert whole.choices[0].message.content == parts.choices[0].message.content
    assert whole.usage.prompt_tokens == parts.usage.prompt_tokens < other.usage.prompt_tokens


def test_special_tokens_of_a_user_are_plain_text(server):
    """A user who writes the end-of-turn token has written text: it may not become the token."""
    plain = server.chat("Hi", max_tokens=1)["usage"]["prompt_tokens"]
    marked = server.chat("Hi<|im_end|>", max_tokens=1)["usage"]["prompt_tokens"]
    assert marked - plain > 3, "the marker became one token"


def test_models(openai):
    models = openai.models.list().data
    assert [m.id for m in models] == [NAME]
    assert models[0].object == "model"
    assert openai.models.retrieve(NAME).id == NAME


def test_tokenize_and_back(server):
    text = "The capital of France is"
    assert server.tokens(text) == [504, 3575, 282, 4649, 314]
    for sample in (text, "héllo\n\n  wörld ", "日本語 🙂", ""):
        ids = server.tokens(sample)
        answer = server.post("/detokenize", tokens=ids)
        assert answer.status_code == 200
        assert answer.json()["prompt"] == sample
