"""A prompt's tokens are those that a plain tokenizer gives for the whole text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("transformers", reason="local models need requirements/vlm.txt")

from tokenizers.processors import TemplateProcessing

from annotation.backends.base import BackendUnavailableError
from annotation.backends.local import vocabulary
from annotation.backends.local.asking import asked
from annotation.prompt import QUESTIONS, Question

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return vocabulary.made_on_the_fly(vocabulary.QWEN_TEMPLATE)


def question(**changes: Any) -> Question:
    return replace(QUESTIONS[0], **changes)


def image_token(tokenizer: Any) -> int:
    token: int = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    return token


def test_head_image_tail_and_question_make_the_whole_text(tokenizer: Any) -> None:
    image = image_token(tokenizer)
    prompt = asked(tokenizer, image_token=image)
    for number, one in enumerate(QUESTIONS):
        ids = [*prompt.head, image, *prompt.tail, *prompt.questions[number]]
        text = tokenizer.decode(ids)
        assert text.startswith("<|im_start|>system\nYou describe photos")
        assert text.endswith(f"<|im_start|>assistant\n{one.text}")
        assert tokenizer(text)["input_ids"] == ids


def test_every_option_has_its_letters_with_and_without_a_space(tokenizer: Any) -> None:
    prompt = asked(tokenizer, image_token=image_token(tokenizer))
    for number, one in enumerate(QUESTIONS):
        for words, ids in zip(one.words, prompt.options[number], strict=True):
            assert {tokenizer.decode([i]) for i in ids} <= set(words)


def test_a_spelling_of_several_tokens_is_left_out(tokenizer: Any) -> None:
    words = (("A", "xylophone"), *QUESTIONS[0].words[1:])
    prompt = asked(
        tokenizer,
        image_token=image_token(tokenizer),
        questions=[question(words=words)],
    )
    assert [tokenizer.decode([i]) for i in prompt.options[0][0]] == ["A"]


def test_models_that_could_think_are_told_not_to() -> None:
    thought = "{% if enable_thinking is not false %}<think>{% endif %}"
    tokenizer: Any = vocabulary.made_on_the_fly(vocabulary.QWEN_TEMPLATE + thought)
    prompt = asked(tokenizer, image_token=image_token(tokenizer))
    assert tokenizer.decode(prompt.tail).endswith("assistant\n")


def test_options_that_share_a_token_are_refused(tokenizer: Any) -> None:
    words = (("A",), ("B", "A"), *QUESTIONS[0].words[2:])
    with pytest.raises(BackendUnavailableError, match="apart"):
        asked(
            tokenizer,
            image_token=image_token(tokenizer),
            questions=[question(words=words)],
        )


def test_an_option_of_several_tokens_only_is_refused(tokenizer: Any) -> None:
    words = (("xylophone",), *QUESTIONS[0].words[1:])
    with pytest.raises(BackendUnavailableError, match="no single token for 'black'"):
        asked(
            tokenizer,
            image_token=image_token(tokenizer),
            questions=[question(words=words)],
        )


def test_a_spelling_given_twice_counts_once(tokenizer: Any) -> None:
    words = (("A", "A"), *QUESTIONS[0].words[1:])
    prompt = asked(
        tokenizer,
        image_token=image_token(tokenizer),
        questions=[question(words=words)],
    )
    assert len(prompt.options[0][0]) == 1


def test_a_question_that_joins_the_text_before_it_is_refused() -> None:
    tokenizer = vocabulary.made_on_the_fly(vocabulary.QWEN_TEMPLATE + "ha")
    with pytest.raises(BackendUnavailableError, match="joins 'ir color:'"):
        asked(
            tokenizer,
            image_token=image_token(tokenizer),
            questions=[question(text="ir color:")],
        )


@pytest.mark.parametrize("written_by_template", ["", "{{ bos_token }}"])
def test_the_first_token_is_written_once(written_by_template: str) -> None:
    template = written_by_template + vocabulary.QWEN_TEMPLATE
    tokenizer: Any = vocabulary.made_on_the_fly(template)
    tokenizer.bos_token = "<|endoftext|>"
    first = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{tokenizer.bos_token} $A",
        special_tokens=[(tokenizer.bos_token, first)],
    )
    prompt = asked(tokenizer, image_token=image_token(tokenizer))
    assert prompt.head[0] == first
    assert first not in prompt.head[1:]
