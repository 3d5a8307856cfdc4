"""What a person's likes and passes teach about whom they like, in one space.

A taste is a function of the labels that stand: whatever is undone or forgotten leaves
what would have been learned without it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from matching import selectors
from matching.features import WIDTH
from matching.models import Feedback, Space, Taste
from matching.preference import (
    BayesianPreference,
    LinearPreference,
    Prior,
    cold_prior,
)
from matching.spaces import active_space
from profiles.models import Profile

FloatArray = npt.NDArray[np.float64]

# The latest so many: they bound the work of a like, and tastes change.
MAX_LABELS: Final = 250
# Decay, and photos that changed, are caught up with after so long.
FRESH: Final = dt.timedelta(days=7)
# What feedback taught counts this much where photos are shown: chosen, not measured.
BESIDE_PHOTOS: Final = 0.25
# Log-odds that a lot may bring per unit of a feature: below all that anybody is told.
LOT: Final = 1e-6
WEIGHTS = np.dtype("<f4")
CREDITS = np.dtype([("label", "<i8"), ("credit", "<f8")])

# To be replaced by matching.preference.labels.
COUNTS: Mapping[str, float] = {"like": 1.0, "super_like": 2.0, "pass": 0.5}
HALF_LIFE_DAYS: Final = 365.0


def weight(kind: str, age_days: float) -> float:
    """What a label of this age counts: half as much with every half-life."""
    decay: float = 0.5 ** (age_days / HALF_LIFE_DAYS)
    return COUNTS[kind] * decay


@dataclass(frozen=True, eq=False)
class Labels:
    """The n labels that teach, oldest first: `ids` (n,) and kinds, each with its
    person's features, `examples` (n, 644), and what it counts, `weights` (n,)."""

    ids: npt.NDArray[np.int64]
    kinds: tuple[str, ...]
    examples: FloatArray
    weights: FloatArray

    @property
    def liked(self) -> npt.NDArray[np.bool_]:
        """(n,): the others were passed."""
        return np.array([kind in Feedback.LIKES for kind in self.kinds], dtype=np.bool_)


def latest_label(profile: Profile) -> int:
    """The id of the person's latest label, 0 before the first: a moment to go by."""
    ids = _standing(profile).order_by("-pk").values_list("pk", flat=True)
    return ids.first() or 0


def labels_of(profile: Profile, space: Space, *, until: int | None = None) -> Labels:
    """The last word on each of the latest people, as far as they are in this space.

    `until` the label of this id: what is known of a moment that is past.
    """
    rows = _standing(profile)
    if until is not None:
        rows = rows.filter(pk__lte=until)
    latest = rows.order_by("-pk").only("target_id", "kind", "created_at")[:MAX_LABELS]
    last_words = {label.target_id: label for label in reversed(latest)}
    features = selectors.features_of(last_words.keys(), space=space)
    known = sorted((last_words[pk] for pk in features), key=lambda label: label.pk)
    today = timezone.now().date()
    return Labels(
        np.array([label.pk for label in known], dtype=np.int64),
        tuple(label.kind for label in known),
        np.array([features[label.target_id] for label in known]).reshape(-1, WIDTH),
        # Age in whole days: the same taste all day long.
        np.array([weight(x.kind, (today - x.created_at.date()).days) for x in known]),
    )


def _standing(profile: Profile) -> QuerySet[Feedback]:
    return Feedback.objects.filter(
        actor=profile,
        kind__in=Feedback.LABELS,
        withdrawn_at__isnull=True,
        forgotten_at__isnull=True,
    )


def believed(profile: Profile) -> Prior:
    """What is believed of a person's taste before they have said anything."""
    return cold_prior()


def fit(
    labels: Labels, *, prior: Prior, start: FloatArray | None = None
) -> BayesianPreference:
    """The taste that labels teach: without a start, bitwise the same for the same."""
    return BayesianPreference.fit(
        labels.examples,
        liked=labels.liked,
        example_weights=labels.weights,
        prior=prior,
        start=start,
    )


def learned(
    profile: Profile, space: Space, *, until: int | None = None
) -> BayesianPreference:
    """The taste by the labels that stand now, learned on demand, without a start."""
    return fit(labels_of(profile, space, until=until), prior=believed(profile))


def beside_photos(taste: LinearPreference) -> Prior:
    """What to believe before photos are shown: feedback counts, and photos count more.

    Whoever points at photos says what they look for now.
    """
    if not len(taste.liked):
        return taste.prior
    mean = taste.prior.mean + BESIDE_PHOTOS * taste.learned_weights
    return replace(taste.prior, mean=mean, version=f"{taste.prior.version}+feedback")


def in_order(taste: BayesianPreference, profile: Profile) -> BayesianPreference:
    """The taste; one that has no wish is given a lot in place of it, too small to tell.

    Else the same few would be the first that everybody new is shown.
    """
    if taste.weights.any():
        return taste
    seed = f"{profile.pk} {timezone.now().date()}".encode()
    rng = np.random.default_rng(list(hashlib.sha256(seed).digest()))
    lot = LOT * rng.standard_normal(WIDTH)
    return replace(taste, prior=replace(taste.prior, mean=lot))


def in_two(taste: LinearPreference) -> LinearPreference:
    """The same weights by two examples: all that was liked, and all that was passed.

    To explain hundreds of labels costs as much as two then, and names nobody.
    """
    sides = [taste.liked, ~taste.liked]
    sums = [np.abs(taste.credits[side]) @ taste.examples[side] for side in sides]
    return LinearPreference(
        taste.prior,
        np.array(sums),
        np.array([True, False]),
        np.array([1.0, -1.0]),
        taste.importance,
    )


# Kept, so that others' searches know it at once ---------------------------------------


@transaction.atomic
def update(profile: Profile, *, warm: bool = True) -> None:
    """Learn the person's taste in the active space and keep it, and no other.

    A `warm` fit starts where the last one ended, and is equal to a cold one only to the
    tolerance. The lock makes two likes at once take turns: the last one sees all.
    """
    people = Profile.objects.select_for_update(no_key=True)
    if not people.filter(pk=profile.pk).exists():
        return
    space = active_space()
    kept = Taste.objects.filter(profile=profile)
    labels, prior = labels_of(profile, space), believed(profile)
    if len(labels.ids):
        former = kept.filter(space=space, prior=prior.version).first() if warm else None
        start = _start(labels, former) if former else None
        _keep(profile, space, labels, fit(labels, prior=prior, start=start))
        kept = kept.exclude(space=space)
    kept.delete()


def _start(labels: Labels, former: Taste) -> FloatArray:
    """The credits of the last fit, and 0 for labels that are new."""
    rows = np.frombuffer(former.credits, dtype=CREDITS)
    credits = dict(zip(rows["label"].tolist(), rows["credit"].tolist(), strict=True))
    return np.array([credits.get(label, 0.0) for label in labels.ids.tolist()])


def _keep(
    profile: Profile, space: Space, labels: Labels, taste: LinearPreference
) -> None:
    rows = np.empty(len(labels.ids), dtype=CREDITS)
    rows["label"], rows["credit"] = labels.ids, taste.credits
    row = Taste(
        profile=profile,
        space=space,
        prior=taste.prior.version,
        weights=taste.weights.astype(WEIGHTS).tobytes(),
        credits=rows.tobytes(),
        labels=len(rows),
        updated_at=timezone.now(),
    )
    Taste.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["profile", "space"],
        update_fields=["prior", "weights", "credits", "labels", "updated_at"],
    )


def weights_of(
    profile_ids: Collection[uuid.UUID], space: Space
) -> dict[uuid.UUID, FloatArray]:
    """The weights (644,) of those of these people whose taste in this space is kept."""
    rows = Taste.objects.filter(space=space, profile_id__in=profile_ids)
    return {
        profile_id: np.frombuffer(weights, dtype=WEIGHTS).astype(np.float64)
        for profile_id, weights in rows.values_list("profile_id", "weights")
    }


@transaction.atomic
def reset(profile: Profile) -> None:
    """Forget what was learned: labels until now teach nothing any more.

    They still say whom the person has seen, likes and matches.
    """
    list(Profile.objects.select_for_update(no_key=True).filter(pk=profile.pk))
    _standing(profile).update(forgotten_at=timezone.now())
    Taste.objects.filter(profile=profile).delete()


def sweep(*, limit: int) -> int:
    """Learn anew what is of another space or old, `limit` at most; returns how many."""
    space = active_space()
    others = Taste.objects.exclude(space=space).order_by("pk")
    stale = Taste.objects.filter(space=space, updated_at__lt=timezone.now() - FRESH)
    due = [*others.values_list("profile", flat=True)[:limit]]
    due += stale.order_by("updated_at").values_list("profile", flat=True)[:limit]
    people = Profile.objects.in_bulk(due[:limit])
    for profile in people.values():
        update(profile, warm=False)
    return len(people)
