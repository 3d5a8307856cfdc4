"""What readings are worth: by label, by group of people, and where nothing can be seen.

Every figure comes with the interval of its bootstrap over photos, and beside what the
likelier answer would reach that is always the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from annotation.calibration.scaling import Floats, expected_calibration_error
from annotation.evaluation import questions
from annotation.evaluation.cases import CCP, LOWER_HALF, STANFORD, Cases
from annotation.evaluation.metrics import (
    auc,
    average_precision,
    balanced_accuracy,
    best_threshold,
    estimate,
    resampled,
)
from annotation.evaluation.questions import Question, Readings
from annotation.schema import NOT_VISIBLE

FEWEST_POSITIVES: Final = 10
FACIAL: Final = ("facial_hair", "makeup", "expression", "eyewear", "hair_color")
ACCESSORIES: Final = "accessories"
# CelebA's Male and Young are used here, to compare, and nowhere else.
GROUPS: Final = (
    ("men", "Male", True),
    ("women", "Male", False),
    ("younger", "Young", True),
    ("older", "Young", False),
)
HIDDEN: Final = 0.5
EVERYBODY: Final = "everybody"
MEAN: Final = "the mean"
# A group for which a label's AUC lies this much below everybody's is named.
BELOW: Final = 0.05
INTERVALS: Final = ("auc", "average_precision", "balanced_accuracy")
MEANS: Final = ("base", "accuracy", "majority_accuracy", "calibration_error")

Figures = dict[str, Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Score:
    """How well one label is told: arrays (1 + draws,), and what a constant answer is.

    `base` is the share of positives, which is a constant's average precision;
    `majority_accuracy` is the accuracy of the likelier answer.
    """

    asked: Question
    auc: Floats
    average_precision: Floats
    balanced_accuracy: Floats
    base: float
    accuracy: float
    majority_accuracy: float
    calibration_error: float

    def as_json(self) -> Figures:
        """The label, what it means, and its figures."""
        return {
            "label": self.asked.label,
            "means": self.asked.means,
            "positives": int(self.asked.outcomes.sum()),
            "photos": len(self.asked.outcomes),
            **{name: estimate(getattr(self, name)) for name in INTERVALS},
            **{name: getattr(self, name) for name in MEANS},
        }


@dataclass(frozen=True, eq=False)
class Judge:
    """Readings of n cases, the thresholds to say yes at, and what is drawn of them."""

    found: Readings
    thresholds: Mapping[str, float]
    counts: Floats

    def score(self, asked: Question) -> Score:
        """One label, of the photos that it is asked of."""
        said, outcomes = asked.said(self.found), asked.outcomes
        answers = said >= self.thresholds[asked.name]
        drawn = self.counts[:, asked.rows]
        base = float(outcomes.mean())
        return Score(
            asked=asked,
            auc=auc(said, outcomes, drawn),
            average_precision=average_precision(said, outcomes, drawn),
            balanced_accuracy=balanced_accuracy(answers, outcomes, drawn),
            base=base,
            accuracy=float((answers == outcomes).mean()),
            majority_accuracy=max(base, 1 - base),
            calibration_error=expected_calibration_error(said, outcomes),
        )

    def scores(self, asked: Iterable[Question]) -> list[Score]:
        """Every label with positives enough, that some photos do not have."""
        return [
            self.score(one)
            for one in asked
            if FEWEST_POSITIVES <= one.outcomes.sum() < len(one.outcomes)
        ]


def thresholds(found: Readings, taught: Cases) -> dict[str, float]:
    """The score of each label above which to say yes, by balanced accuracy.

    `found` are the readings of cases that no figure is made of.
    """
    asked = (*questions.of_faces(taught), *questions.of_clothes(taught))
    return {one.name: best_threshold(one.said(found), one.outcomes) for one in asked}


def measure(
    found: Readings, cases: Cases, at: Mapping[str, float], *, seed: int = 0
) -> Figures:
    """All figures of the readings of n cases; `at` as from `thresholds`."""
    judge = Judge(found, at, resampled(len(cases), seed=seed))
    worn = judge.scores(questions.of_clothes(cases))
    accessories = [score for score in worn if score.asked.attribute == ACCESSORIES]
    return {
        "faces": section(judge.scores(questions.of_faces(cases))),
        "clothes": section(_garments(worn)),
        "accessories": section(accessories),
        "ccp": section(_garments(judge.scores(questions.of_clothes(cases, CCP)))),
        "stanford": section(
            _garments(judge.scores(questions.of_clothes(cases, STANFORD)))
        ),
        "groups": by_group(judge, cases),
        "lower_halves_not_visible": _unseen(judge, cases),
    }


def measure_faces(
    found: Readings, cases: Cases, at: Mapping[str, float], *, seed: int = 0
) -> Figures:
    """The labels of faces alone, and the share of photos of which a face is read."""
    judge = Judge(found, at, resampled(len(cases), seed=seed))
    hidden = _hidden(judge, list(range(len(cases))))
    seen = 1 - judge.counts @ hidden.mean(1) / judge.counts.sum(1)
    scores = judge.scores(questions.of_faces(cases))
    return section(scores) | {"visible": estimate(seen)}


def _garments(scores: Sequence[Score]) -> list[Score]:
    return [score for score in scores if score.asked.attribute != ACCESSORIES]


def section(scores: Sequence[Score]) -> Figures:
    """The means of some labels, with their intervals, and each label."""
    return {"means": _means(scores), "labels": [one.as_json() for one in scores]}


def _means(scores: Sequence[Score]) -> Figures | None:
    if not scores:
        return None
    intervals = {
        name: estimate(np.mean([getattr(one, name) for one in scores], axis=0))
        for name in INTERVALS
    }
    plain = {
        name: float(np.mean([getattr(one, name) for one in scores])) for name in MEANS
    }
    return intervals | plain


def by_group(judge: Judge, cases: Cases) -> Figures:
    """Each group's labels of which it has enough, and means over those all have.

    `below`: where the AUC within a group lies more than five points below that among
    everybody, of the mean and of any label.
    """
    asked = list(questions.of_faces(cases))
    groups = {EVERYBODY: np.ones(len(cases), np.bool_)} | {
        name: cases.says(label, value=value) for name, label, value in GROUPS
    }
    scores = {name: _within(judge, asked, mask) for name, mask in groups.items()}
    common = [
        one.label for one in asked if all(one.label in s for s in scores.values())
    ]
    return {
        "compared": common,
        "groups": {
            name: {
                "means": _means([own[label] for label in common]),
                "labels": [score.as_json() for score in own.values()],
            }
            for name, own in scores.items()
        },
        "below": [told for name in scores for told in _below(scores, name, common)],
    }


def _within(judge: Judge, asked: Sequence[Question], mask: Mask) -> dict[str, Score]:
    """The scores within a group, by label; of labels told apart there."""
    own = [one.among(mask) for one in asked]
    enough = [one for one in own if one.is_told_apart(FEWEST_POSITIVES)]
    return {one.label: judge.score(one) for one in enough}


def _below(
    scores: Mapping[str, Mapping[str, Score]], group: str, common: Sequence[str]
) -> Iterator[Figures]:
    for name, labels in ((MEAN, common), *((one, [one]) for one in scores[group])):
        if labels:
            within, among_all = (
                float(np.mean([scores[g][label].auc[0] for label in labels]))
                for g in (group, EVERYBODY)
            )
            if within < among_all - BELOW:
                told = {"label": name, "group": group, "auc": within}
                yield told | {EVERYBODY: among_all}


def _unseen(judge: Judge, cases: Cases) -> Figures | None:
    """Share of facial attributes that are mostly not visible where no face can be."""
    rows = np.flatnonzero(cases.among(LOWER_HALF)).tolist()
    if not rows:
        return None
    hidden = _hidden(judge, rows)
    drawn = judge.counts[:, rows]
    shares = (drawn @ hidden.mean(1)) / np.maximum(drawn.sum(1), 1)
    by_attribute = dict(zip(FACIAL, hidden.mean(0).tolist(), strict=True))
    return estimate(shares) | {"photos": len(rows), "attributes": by_attribute}


def _hidden(judge: Judge, rows: Sequence[int]) -> Mask:
    """Which facial attributes are mostly not visible, (rows, attributes)."""
    unseen = [[judge.found[row][name][NOT_VISIBLE] for name in FACIAL] for row in rows]
    return np.array(unseen) >= HIDDEN
