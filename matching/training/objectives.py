"""What is learned: people apart by their photos, or the liked from the passed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from torch import Tensor

from annotation.training.metric import MARGIN, ContrastLoss, MetricLoss, TripletLoss
from matching.features import VISUAL_WIDTH
from matching.training.feedback import Triplets

MEMORY = 4_096
PEOPLE_PER_BATCH = 64
PHOTOS_PER_PERSON = 4
TRIPLETS_PER_BATCH = 256

Rows = npt.NDArray[np.intp]


def _photos(codes: Rows) -> list[Rows]:
    """The photos of each person, by their number."""
    ends = np.bincount(codes).cumsum()
    return np.split(np.argsort(codes, kind="stable"), ends[:-1])


class Objective(Protocol):
    """Batches of photos, and how far their embeddings are from what is wanted."""

    rate: float  # the highest, of AdamW

    def batches(self, rng: np.random.Generator) -> Iterator[Rows]:
        """One epoch: the photos of each step."""
        ...

    def loss(self, embeddings: Tensor, rows: Rows) -> Tensor:
        """A scalar, of the embeddings of these photos, (len(rows), 512)."""
        ...


class _IdentityObjective:
    """P people x K photos a batch; photos of one person belong together."""

    def __init__(self, people: npt.NDArray[np.str_], loss: MetricLoss) -> None:
        self._loss = loss
        codes = np.unique(people, return_inverse=True)[1]
        self.codes = torch.from_numpy(codes)
        self.photos = [own for own in _photos(codes) if len(own) > 1]

    def batches(self, rng: np.random.Generator) -> Iterator[Rows]:
        order = rng.permutation(len(self.photos))
        for start in range(0, len(order), PEOPLE_PER_BATCH):
            people = order[start : start + PEOPLE_PER_BATCH]
            own = [rng.permutation(self.photos[i])[:PHOTOS_PER_PERSON] for i in people]
            if len(own) > 1:  # one person has nobody to be told from
                yield np.concatenate(own)

    def loss(self, embeddings: Tensor, rows: Rows) -> Tensor:
        return self._loss(embeddings, self.codes[rows])


class SemiHardTriplets(_IdentityObjective):
    """Triplet loss over the semi-hard ones of a batch."""

    rate = 3e-4

    def __init__(self, people: npt.NDArray[np.str_]) -> None:
        super().__init__(people, TripletLoss(hard=False))


class SupervisedContrast(_IdentityObjective):
    """Supervised contrast against earlier batches too.

    At three times the rate it forgets, within two epochs, what it had gained.
    """

    rate = 1e-4

    def __init__(self, people: npt.NDArray[np.str_]) -> None:
        super().__init__(people, ContrastLoss(VISUAL_WIDTH, MEMORY))


class FeedbackTriplets:
    """A person is nearer to who they matched with than to who they passed.

    A step takes one photo of each of the three, another one every time.
    """

    rate = 3e-4

    def __init__(self, people: npt.NDArray[np.str_], triplets: Triplets) -> None:
        codes = np.unique(people, return_inverse=True)[1]
        self.photos = _photos(codes)
        self.triplets = triplets
        self._loss = TripletMarginLoss(MARGIN, distance=LpDistance(power=2))

    def batches(self, rng: np.random.Generator) -> Iterator[Rows]:
        order = rng.permutation(len(self.triplets))
        for start in range(0, len(order), TRIPLETS_PER_BATCH):
            some = self.triplets[order[start : start + TRIPLETS_PER_BATCH]]
            people = some.T.ravel()  # all persons, then all matched, then all passed
            yield np.array([rng.choice(self.photos[i]) for i in people], dtype=np.intp)

    def loss(self, embeddings: Tensor, rows: Rows) -> Tensor:
        person, matched, passed = torch.arange(len(rows)).chunk(3)
        loss: Tensor = self._loss(embeddings, indices_tuple=(person, matched, passed))
        return loss


IDENTITY_LOSSES = {"triplet": SemiHardTriplets, "supcon": SupervisedContrast}
