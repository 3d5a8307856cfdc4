"""What people say is in photos: calibration is fitted to it, and measured on it. Pure.

Whatever is measured is held out: photos fall into folds by a hash of their bytes, so
that a photo stays in its fold for ever, whatever it is called, and a calibration that
was once kept can be measured on photos that it has not learned from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from annotation.calibration.calibrator import (
    FLOOR,
    Calibrator,
    RawReading,
    given_visible,
    logits_of,
    options,
    said_and_true,
    table_of,
)
from annotation.calibration.scaling import (
    Floats,
    Labels,
    Outcomes,
    Scaling,
    fit_exclusive,
    fit_independent,
    reliability,
)
from annotation.schema import (
    NOT_VISIBLE,
    SCHEMA,
    Attribute,
    Attributes,
    Distribution,
    Kind,
    visible,
)

FOLDS: Final = 5
# A normal prior of this precision pulls log-temperature and biases to 0, whatever the
# number of labels: a handful of them hardly moves anything.
PRECISION: Final = 3.0
# How many photos the stated trust counts as, against those that are labelled; a tenth
# of it is spread evenly, so that nothing is ever impossible.
PRIOR_PHOTOS: Final = 5.0
SPREAD: Final = 0.1
UNKNOWN: Final = -1
FIGURES: Final = 4

# The options that a label allows. Of `one`: those that may be true, more than one where
# it cannot be told. Of `many`: all that are there, or `not_visible` alone.
Allowed = frozenset[str]


@dataclass(frozen=True)
class Example:
    """A photo as it was read, and what people say of it, by attribute."""

    reading: RawReading
    labels: Mapping[str, Allowed]
    fold: int


def fold_of(sha256: str) -> int:
    """The fold of a photo, by the hash of its bytes as uploaded: always the same."""
    return int.from_bytes(hashlib.sha256(sha256.encode()).digest()[:4]) % FOLDS


# Fitting ------------------------------------------------------------------------------


def fit(examples: Sequence[Example]) -> Calibrator:
    """Fitted to what is labelled; attributes without labels are left as they are."""
    said = {
        one_hot: dict(_columns([e for e in examples if e.reading.one_hot is one_hot]))
        for one_hot in (False, True)
    }
    return Calibrator(
        {a.name: _scaling(a, *pairs) for a, pairs in said[False].items()},
        {a.name: _confusion(a, *pairs) for a, pairs in said[True].items()},
    )


def _columns(
    examples: Sequence[Example],
) -> Iterator[tuple[Attribute, tuple[Floats, Labels]]]:
    """What was said (n, options) and what is true (n, options), where both are known.

    Being sure that nothing can be seen is never corrected, so it teaches nothing.
    """
    for attribute in SCHEMA:
        pairs = [
            (said, allowed)
            for _, said, allowed in labelled(attribute, examples)
            if visible(said) > 0 or examples[0].reading.one_hot
        ]
        if pairs:
            said = table_of(attribute, [said for said, _ in pairs])
            truth = np.array([_truth(attribute, allowed) for _, allowed in pairs])
            yield attribute, (said, truth.astype(np.int8))


def labelled(
    attribute: Attribute, examples: Sequence[Example]
) -> Iterator[tuple[int, Distribution, Allowed]]:
    """Where the attribute is answered and labelled: which example, said, allowed."""
    for index, example in enumerate(examples):
        said = example.reading.answer(attribute.name)
        if said is not None and attribute.name in example.labels:
            yield index, said, example.labels[attribute.name]


def _truth(attribute: Attribute, allowed: Allowed) -> list[int]:
    """1, 0 or unknown for each option; of `many`, the last one is being visible."""
    if attribute.kind is Kind.ONE:
        return [int(option in allowed) for option in options(attribute)]
    if NOT_VISIBLE in allowed:
        return [UNKNOWN] * len(attribute.values) + [0]
    return [*(int(value in allowed) for value in attribute.values), 1]


def _scaling(attribute: Attribute, said: Floats, truth: Labels) -> Scaling:
    logits = logits_of(attribute, said)
    if attribute.kind is Kind.ONE:
        return fit_exclusive(logits, truth, ridge=PRECISION / len(truth))
    known = np.maximum((truth >= 0).sum(0), 1)
    return fit_independent(logits, truth, ridge=PRECISION / known)


def _confusion(attribute: Attribute, said: Floats, truth: Labels) -> Floats:
    """P(true | said): counted, beside a few photos of the stated trust."""
    if attribute.kind is Kind.ONE:
        counts = said.T @ (truth / truth.sum(1, keepdims=True))
        prior = (1 - SPREAD) * said_and_true(attribute) + SPREAD / counts.shape[1]
        total = counts.sum(1, keepdims=True) + PRIOR_PHOTOS
        return np.asarray((counts + PRIOR_PHOTOS * prior) / total)
    given = given_visible(said)
    by_answer = np.stack([1 - given, given], axis=2) * (truth >= 0)[:, :, None]
    yes = (by_answer * (truth > 0)[:, :, None]).sum(0)
    prior = (1 - SPREAD) * said_and_true(attribute) + SPREAD / 2
    return np.asarray((yes + PRIOR_PHOTOS * prior) / (by_answer.sum(0) + PRIOR_PHOTOS))


# Measuring ----------------------------------------------------------------------------


def fit_folds(examples: Sequence[Example]) -> list[Calibrator]:
    """For each fold a calibrator that was fitted on all others."""
    return [fit([e for e in examples if e.fold != fold]) for fold in range(FOLDS)]


def held_out(
    examples: Sequence[Example], calibrators: Sequence[Calibrator]
) -> list[Attributes]:
    """Each photo as it is read by the calibrator that has not seen its fold."""
    read: dict[int, Attributes] = {}
    for fold, calibrator in enumerate(calibrators):
        own = [i for i, example in enumerate(examples) if example.fold == fold]
        found = calibrator.read([examples[i].reading for i in own])
        read |= dict(zip(own, found, strict=True))
    return [read[i] for i in range(len(examples))]


def measured(
    examples: Sequence[Example], readings: Sequence[Attributes]
) -> dict[str, Outcomes]:
    """How true the readings are, by attribute; what was not answered is left out."""
    found = {}
    for attribute in SCHEMA:
        parts = [
            _outcomes(attribute, readings[index][attribute.name], allowed)
            for index, _, allowed in labelled(attribute, examples)
        ]
        if parts:
            found[attribute.name] = Outcomes.joined(parts)
    return found


def _outcomes(
    attribute: Attribute, distribution: Distribution, allowed: Allowed
) -> Outcomes:
    if attribute.kind is Kind.ONE:
        likeliest = max(distribution, key=distribution.__getitem__)
        right = float(likeliest in allowed)
        # "Red or blonde" does not say whether red came as often as was said.
        said = distribution[likeliest] if len(allowed) == 1 else np.nan
        true = sum(distribution[option] for option in allowed)
        numbers = (said, right, right, _loss(true), 1.0)
        return Outcomes(*(np.array([number]) for number in numbers))
    judged = [NOT_VISIBLE]
    if NOT_VISIBLE not in allowed:  # whether an unseen skirt is there, nobody knows
        judged += attribute.values
    p = np.array([distribution[option] for option in judged])
    came = np.array([float(option in allowed) for option in judged])
    return Outcomes(
        said=p,
        came=came,
        right=((p >= 0.5) == (came > 0)).astype(float),
        loss=_loss(np.where(came > 0, p, 1 - p)),
        weight=np.full(len(p), 1 / len(p)),
    )


def _loss(true: Floats | float) -> Any:
    """In nats; bounded, for rows do not keep how small a small probability was."""
    return -np.log(np.clip(true, FLOOR, 1.0))


def report(
    before: Mapping[str, Outcomes], after: Mapping[str, Outcomes]
) -> dict[str, Any]:
    """Both beside each other: of all labels together, and of each attribute."""
    if not before:
        return {"overall": None, "attributes": {}}
    return {
        "overall": _both(
            Outcomes.joined(before.values()), Outcomes.joined(after.values())
        ),
        "attributes": {name: _both(before[name], after[name]) for name in before},
    }


def _both(before: Outcomes, after: Outcomes) -> dict[str, Any]:
    return {
        "labels": round(float(before.weight.sum())),
        "before": figures(before),
        "after": figures(after),
    }


def figures(outcomes: Outcomes) -> dict[str, Any]:
    """ECE (Guo et al., 2017), negative log-likelihood in nats, accuracy, the bins.

    The ECE is None, and there are no bins, where every label allows several values.
    """
    bins = reliability(outcomes)
    told = sum(b.labels for b in bins)
    gap = sum(b.labels * abs(b.said - b.came) for b in bins)
    total = outcomes.weight.sum()
    return {
        "ece": _rounded(gap / told) if told else None,
        "nll": _rounded(outcomes.weight @ outcomes.loss / total),
        "accuracy": _rounded(outcomes.weight @ outcomes.right / total),
        "bins": [{k: _rounded(v) for k, v in asdict(b).items()} for b in bins],
    }


def _rounded(figure: float) -> float:
    return round(float(figure), FIGURES)


def count(examples: Iterable[Example]) -> int:
    """How many labels there are."""
    return sum(len(example.labels) for example in examples)
