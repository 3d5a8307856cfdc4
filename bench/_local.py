"""The local back end under measurement: its stages alone, its arithmetic, its peer.

Imports torch: only where the local back end is measured.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Final
from unittest import mock

import numpy as np
import numpy.typing as npt
from torch.utils.flop_counter import FlopCounterMode

from annotation.backends.local import engine, loading
from annotation.backends.local.annotator import LocalAnnotator, decoders
from annotation.backends.local.asking import Prompt
from annotation.backends.local.configuration import LocalConfig
from annotation.backends.local.framing import Framed, frame
from annotation.backends.local.scoring import Scorer, Scores
from bench._bench import rounded
from bench._device import memory, peak_of
from bench._stages import GPU, Clock

PEER_PHOTOS: Final = 4


@dataclass(frozen=True, eq=False)
class Batch:
    """Photos of one bucket as the model takes them: see `Scorer.score`."""

    pixels: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pixels)

    def first(self, count: int) -> Batch:
        return Batch(self.pixels[:count], self.boxes[:count])


class TimedModel:
    """A scorer on a clock, and its GPU on another, and nothing else."""

    def __init__(self, scorer: Scorer, host: Clock, gpu: Clock) -> None:
        self.buckets, self.padding = scorer.buckets, scorer.padding
        self._begin = host.timed(scorer.begin)
        self._host, self._gpu = host, gpu

    def begin(
        self, pixels: npt.NDArray[np.uint8], boxes: npt.NDArray[np.int64]
    ) -> Callable[[], Scores]:
        finish = self._host.timed(self._begin(pixels, boxes))

        def finished() -> Scores:
            scores = finish()
            self._gpu.add(scores.gpu_seconds)
            return scores

        return finished


class Local:
    """The local annotator, and the stages it works in."""

    backend = "local"

    def __init__(
        self, scorer: Scorer, config: LocalConfig, *, rounds: int, with_peer: bool
    ) -> None:
        self.clocks = {"decode": Clock(), "model": Clock()}
        gpu = Clock()
        if engine.on_gpu():
            self.clocks[GPU] = gpu
        timed = TimedModel(scorer, self.clocks["model"], gpu)
        self.annotator = LocalAnnotator(config, load=lambda _: timed)
        self._scorer = scorer
        self._config = config
        self._rounds = rounds
        self._with_peer = with_peer

    def alone(self, images: Sequence[bytes]) -> dict[str, float]:
        """Photos a second decoded, and read in full batches by the model."""
        size = self._config.batch
        photos, per_second = decoded(
            self._scorer, images, threads=decoders(), keep=size
        )
        self._batch = full_batch(photos, size)
        model = model_alone(self._scorer, self._batch, rounds=self._rounds)
        self._model_per_second = model
        return {"decode": per_second, "model": model}

    def figures(self, photos_per_second: float) -> dict[str, Any]:
        """What it took of the device and of money, and what packing was worth."""
        scorer, batch = self._scorer, self._batch
        counted = arithmetic(scorer, batch)
        flops, peak = counted["flops_per_photo"], counted["peak_flops"]
        return {
            **dataclasses.asdict(scorer.description),
            "batch": len(batch),
            "side": self._config.image_side,
            **counted,
            "achieved_flops": rounded(flops * photos_per_second),
            "achieved_share_of_peak": rounded(flops * photos_per_second / peak),
            "model_alone_share_of_peak": rounded(flops * self._model_per_second / peak),
            **memory(),
            "usd_per_hour": self._config.usd_per_gpu_hour,
            "dollars_per_100k": rounded(dollars(self._config, photos_per_second)),
            **({"peer": peer(scorer, batch)} if self._with_peer else {}),
        }


@contextmanager
def measured(
    config: LocalConfig, *, architecture: str | None, rounds: int, with_peer: bool
) -> Iterator[Local]:
    """The configured model, or one of random weights, with its clocks running.

    Raises BackendUnavailableError, saying what is needed.
    """
    scorer = (
        loading.random(architecture, config) if architecture else loading.load(config)
    )
    local = Local(scorer, config, rounds=rounds, with_peer=with_peer)
    on_clock = local.clocks["decode"].timed(frame)
    with mock.patch.object(engine, "frame", on_clock), closing(local.annotator):
        yield local


def dollars(config: LocalConfig, photos_per_second: float) -> float:
    """What 100,000 photos cost on a GPU that does nothing else."""
    return config.usd_per_gpu_hour * 100_000 / photos_per_second / 3_600


def decoded(
    scorer: Scorer, images: Sequence[bytes], *, threads: int, keep: int
) -> tuple[list[Framed], float]:
    """The first of the photos in their buckets, and photos a second of them all."""

    def decode(image: bytes) -> Framed:
        framed = frame(image, buckets=scorer.buckets, padding=scorer.padding)
        assert framed is not None  # noqa: S101 - renditions of ours
        return framed

    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        photos = enumerate(pool.map(decode, images))
        kept = [photo for number, photo in photos if number < keep]
        return kept, len(images) / (time.perf_counter() - started)


def full_batch(photos: Sequence[Framed], size: int) -> Batch:
    """A batch of `size` photos of the commonest bucket, some of them repeated."""
    bucket = Counter(photo.bucket for photo in photos).most_common(1)[0][0]
    fitting = [photo for photo in photos if photo.bucket == bucket]
    chosen = [fitting[number % len(fitting)] for number in range(size)]
    return Batch(
        np.stack([photo.pixels for photo in chosen]),
        np.array([photo.box for photo in chosen], np.int64),
    )


def seconds_of(scorer: Scorer, batch: Batch) -> tuple[Scores, float]:
    """One pass, with the way to the device and back; nothing is still under way."""
    started = time.perf_counter()
    scores = scorer.score(batch.pixels, batch.boxes)
    return scores, time.perf_counter() - started


def model_alone(scorer: Scorer, batch: Batch, *, rounds: int) -> float:
    """Photos a second of full batches, one after another; the median round."""
    seconds_of(scorer, batch)
    return len(batch) / median(seconds_of(scorer, batch)[1] for _ in range(rounds))


def arithmetic(scorer: Scorer, batch: Batch) -> dict[str, Any]:
    """FLOPs and tokens of one photo, counted in a pass, and what the device could do.

    Counts matrix products and attention, 2 FLOPs for a multiply and add.
    """
    with FlopCounterMode(display=False) as counter:
        scores = scorer.score(batch.pixels, batch.boxes)
    peak, source = peak_of(scorer.description.device)
    return {
        "flops_per_photo": counter.get_total_flops() // len(batch),
        "tokens_per_photo": scores.tokens,
        "peak_flops": rounded(peak),
        "peak_source": source,
    }


def peer(scorer: Scorer, batch: Batch) -> dict[str, Any]:
    """The same model on the same photos with one prompt for every question.

    Like ours it has the text before the photo computed beforehand, so that the ratio
    says what packing alone is worth; the difference says what packing changes.
    """
    some = batch.first(PEER_PHOTOS)
    seconds_of(scorer, some)
    packed, ours = seconds_of(scorer, some)
    theirs, difference = 0.0, 0.0
    for number in range(len(packed.probabilities)):
        alone = asking_only(scorer, number)
        seconds_of(alone, some.first(1))  # masks and positions are made once
        scores, seconds = seconds_of(alone, some)
        theirs += seconds
        apart = np.abs(scores.probabilities[0] - packed.probabilities[number]).max()
        difference = max(difference, float(apart))
    return {
        "name": "one-prompt-per-question",
        "photos": len(some),
        "photos_per_second": rounded(len(some) / theirs),
        "packed_over_unpacked": rounded(theirs / ours),
        "largest_difference": rounded(difference),
    }


def asking_only(scorer: Scorer, number: int) -> Scorer:
    """The same model with one of its questions."""
    parts: dict[str, Any] = vars(scorer)  # made anew of them; no product code does this
    family, reader = parts["_family"], parts["_reader"]
    every: Prompt = vars(reader)["_prompt"]
    prompt = replace(
        every,
        questions=every.questions[number : number + 1],
        options=every.options[number : number + 1],
    )
    return Scorer(
        family,
        prompt,
        type(reader)(family, prompt),
        parts["_features"],
        scorer.buckets,
        scorer.description,
    )
