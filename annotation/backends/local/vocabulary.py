"""A tokenizer made on the fly, for models of random weights: nothing is downloaded.

It is trained on the prompt itself, so that a prompt has about as many tokens as with a
real tokenizer: most words are one.
"""

from __future__ import annotations

import json
from typing import Any, Final

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, Qwen2Tokenizer

from annotation.prompt import INSTRUCTIONS, QUESTIONS, REQUEST

END_OF_TEXT: Final = "<|endoftext|>"
END_OF_TURN: Final = "<|im_end|>"
QWEN_SPECIAL: Final = (
    END_OF_TEXT,
    "<|im_start|>",
    END_OF_TURN,
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
LLAVA_IMAGE: Final = "<image>"
QWEN_TEMPLATE: Final = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAVA_TEMPLATE: Final = (
    "{% for m in messages %}{% if m['role'] == 'system' %}"
    "<<SYS>>\n{{ m['content'][0]['text'] }}\n<</SYS>>\n\n{% else %}[INST] "
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %} [/INST]{% endif %}{% endfor %}"
)
MOST_TOKENS: Final = 2000


def made_on_the_fly(template: str) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer that writes prompts by this chat template."""
    vocabulary, merges = _trained()
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary, merges=merges, pad_token=END_OF_TEXT, eos_token=END_OF_TURN
    )
    special = [*QWEN_SPECIAL, LLAVA_IMAGE]
    tokenizer.add_special_tokens({"extra_special_tokens": special})
    tokenizer.chat_template = template
    return tokenizer


def _trained() -> tuple[dict[str, int], Any]:
    """Vocabulary and merges learned from all that is ever asked."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=MOST_TOKENS, initial_alphabet=alphabet, show_progress=False
    )
    answers = (word for question in QUESTIONS for ws in question.words for word in ws)
    texts = [INSTRUCTIONS, REQUEST, *(q.text for q in QUESTIONS), *answers]
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]
