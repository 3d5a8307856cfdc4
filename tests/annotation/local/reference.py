"""The slow way that nobody can get wrong: each question's whole prompt, alone.

Through a model as transformers loads it, and its own processing of images.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    Qwen2VLImageProcessorPil,
)

from annotation.prompt import INSTRUCTIONS, QUESTIONS, REQUEST, Question

Photo = npt.NDArray[np.uint8]
MESSAGES = [
    {"role": "system", "content": [{"type": "text", "text": INSTRUCTIONS}]},
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": REQUEST}]},
]


class Reference:
    """A model from a folder, untouched, one prompt at a time."""

    def __init__(self, folder: Path) -> None:
        model: Any = AutoModelForImageTextToText.from_pretrained(folder)
        self.model = model.eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        said = json.loads((folder / "preprocessor_config.json").read_text())
        self.mean, self.std = said["image_mean"], said["image_std"]

    @torch.no_grad()
    def logits(self, photo: Photo, questions: Sequence[Question] = QUESTIONS) -> Tensor:
        """What may follow each question, (questions, vocabulary).

        Prompts of equal length stand in one batch, as strangers to each other.
        """
        image, tokens = self._image(photo)
        prompts = [self._prompt(image, tokens, question.text) for question in questions]
        answers: list[Tensor] = [torch.empty(0)] * len(prompts)
        for length in {len(prompt) for prompt in prompts}:
            which = [i for i, prompt in enumerate(prompts) if len(prompt) == length]
            ids = torch.tensor([prompts[i] for i in which])
            for i, answer in zip(which, self._answers(photo, ids), strict=True):
                answers[i] = answer
        return torch.stack(answers)

    def options(self, logits: Tensor, question: Question) -> Tensor:
        """The probability of each option in the whole vocabulary."""
        likely = logits.softmax(-1)
        tokens = [
            {ids[0] for word in words if len(ids := self._ids(word)) == 1}
            for words in question.words
        ]
        return torch.stack([likely[list(of)].sum() for of in tokens])

    def patches(self, photo: Photo) -> tuple[Tensor, Tensor]:
        """Pixels and grid as the processor of Qwen's images gives them."""
        vision = self.model.config.vision_config
        processor = Qwen2VLImageProcessorPil(
            patch_size=vision.patch_size,
            size={"shortest_edge": 1, "longest_edge": photo.size},
            image_mean=self.mean,
            image_std=self.std,
        )
        made = processor(Image.fromarray(photo), return_tensors="pt")
        return made["pixel_values"], made["image_grid_thw"]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text)["input_ids"]
        return ids

    @property
    def _is_llava(self) -> bool:
        return hasattr(self.model.config, "vision_feature_layer")

    def _image(self, photo: Photo) -> tuple[str, int]:
        """What marks an image, and how many tokens it takes."""
        if self._is_llava:
            return "<image>", (len(photo) // 14) ** 2
        return "<|image_pad|>", int(self.patches(photo)[1].prod()) // 4

    def _prompt(self, image: str, tokens: int, question: str) -> list[int]:
        text = self.tokenizer.apply_chat_template(
            MESSAGES, tokenize=False, add_generation_prompt=True
        )
        assert text.count(image) == 1
        return self._ids(text.replace(image, image * tokens) + question)

    def _answers(self, photo: Photo, ids: Tensor) -> Tensor:
        """Logits after each of the prompts (K, length)."""
        if self._is_llava:
            given = {"inputs_embeds": self._with_base_tile(photo, ids)}
        else:
            given = self._with_patches(photo, ids)
        answers: Tensor = self.model(**given, logits_to_keep=1).logits[:, -1]
        return answers

    def _with_patches(self, photo: Photo, ids: Tensor) -> dict[str, Tensor]:
        pixels, grid = self.patches(photo)
        self.model.model.rope_deltas = None
        return {
            "input_ids": ids,
            "mm_token_type_ids": (ids == self.model.config.image_token_id).int(),
            "attention_mask": torch.ones_like(ids),
            "pixel_values": pixels.repeat(len(ids), 1),
            "image_grid_thw": grid.repeat(len(ids), 1),
        }

    def _with_base_tile(self, photo: Photo, ids: Tensor) -> Tensor:
        """Transformers' own processing would always add further tiles."""
        model = self.model.model
        plain = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
        mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (self.mean, self.std))
        seen = model.vision_tower((plain - mean) / std, output_hidden_states=True)
        tokens = model.multi_modal_projector(seen.hidden_states[-2][:, 1:])
        embedded: Tensor = model.get_input_embeddings()(ids)
        image = (ids == self.model.config.image_token_id)[..., None]
        return embedded.masked_scatter(image, tokens.repeat(len(ids), 1, 1))
