"""What is asked, in a tokenizer's own tokens.

Every question is tokenized together with all that stands before it, so that no token
differs from a plain prompt's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from annotation.backends.base import BackendUnavailableError
from annotation.prompt import INSTRUCTIONS, QUESTIONS, REQUEST, Question

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Prompt:
    """Token ids: `head` up to the image, `tail` after it, then one of `questions`.

    `options` says, per question and option, which single tokens answer it.
    """

    head: Ids
    tail: Ids
    questions: tuple[Ids, ...]
    options: tuple[tuple[Ids, ...], ...]

    @property
    def text_tokens(self) -> int:
        """The longest prompt's tokens without the image's."""
        longest = max(len(question) for question in self.questions)
        return len(self.head) + len(self.tail) + longest


def asked(
    tokenizer: Any,
    *,
    image_token: int,
    questions: Sequence[Question] = QUESTIONS,
) -> Prompt:
    """All of `annotation.prompt` as this tokenizer and its chat template write it.

    Raises BackendUnavailableError if the model cannot be asked in this way.
    """
    text = _chat(tokenizer)
    # Some templates write the first token of a text themselves.
    bos = tokenizer.bos_token
    special = not (bos and text.startswith(bos))
    base = _ids(tokenizer, text, special=special)
    if base.count(image_token) != 1:
        raise BackendUnavailableError(
            "The model's chat template must place exactly one image."
        )
    image = base.index(image_token)
    return Prompt(
        head=base[:image],
        tail=base[image + 1 :],
        questions=tuple(
            _after(base, _ids(tokenizer, text + q.text, special=special), q)
            for q in questions
        ),
        options=tuple(_options(tokenizer, q) for q in questions),
    )


def _chat(tokenizer: Any) -> str:
    """The conversation up to where the model answers."""
    if not tokenizer.chat_template:
        raise BackendUnavailableError(
            "The model has no chat template: its folder needs chat_template.jinja."
        )
    messages = [
        {"role": "system", "content": [{"type": "text", "text": INSTRUCTIONS}]},
        {
            "role": "user",
            "content": [{"type": "image"}, {"type": "text", "text": REQUEST}],
        },
    ]
    text: str = tokenizer.apply_chat_template(
        messages,
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,  # the answer is the next token, not a thought
    )
    return text


def _ids(tokenizer: Any, text: str, *, special: bool = False) -> Ids:
    return tuple(tokenizer(text, add_special_tokens=special)["input_ids"])


def _after(base: Ids, whole: Ids, question: Question) -> Ids:
    """What a question adds to the tokens before it."""
    if whole[: len(base)] != base:
        raise BackendUnavailableError(
            f"The tokenizer joins {question.text!r} with the text before it."
        )
    return whole[len(base) :]


def _options(tokenizer: Any, question: Question) -> tuple[Ids, ...]:
    """Which tokens answer with each option: raises if two options share one."""
    named = zip(question.options, question.words, strict=True)
    options = tuple(_answers(tokenizer, question, *option) for option in named)
    if len({token for ids in options for token in ids}) < sum(map(len, options)):
        raise BackendUnavailableError(
            f"The tokenizer cannot tell the options of {question.text!r} apart."
        )
    return options


def _answers(
    tokenizer: Any, question: Question, option: str, words: Sequence[str]
) -> Ids:
    """The single tokens that say this option, each counted once.

    A word may be another token behind a colon than alone; a model may give either.
    """
    asked = _ids(tokenizer, question.text)
    found: set[int] = set()
    for word in words:
        behind = _ids(tokenizer, question.text + word)
        found.update(ids[0] for ids in [_ids(tokenizer, word)] if len(ids) == 1)
        found.update(behind[-1:] if behind[:-1] == asked else ())
    if not found:
        raise BackendUnavailableError(
            f"The tokenizer has no single token for {option!r} of {question.text!r}."
        )
    return tuple(sorted(found))
