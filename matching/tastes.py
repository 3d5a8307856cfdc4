"""What a person's likes and passes teach about whom they like, in one space.

A taste is a function of the labels that stand: whatever is undone or forgotten leaves
what would have been learned without it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import uuid
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction
from django.utils import timezone

from matching import labels
from matching.features import WIDTH
from matching.ids import uuid_array
from matching.labels import Labels
from matching.models import Space, Taste
from matching.preference import BayesianPreference, LinearPreference, Prior
from matching.priors import active_prior
from matching.spaces import active_space
from profiles.models import Profile

FloatArray = npt.NDArray[np.float64]

# Decay, and photos that changed, are caught up with after so long.
FRESH: Final = dt.timedelta(days=7)
# What feedback taught counts this much where photos are shown: chosen, not measured.
BESIDE_PHOTOS: Final = 0.25
# Somebody's share of likes is mixed with so many labels of the average person.
AVERAGE_LABELS: Final = 5.0
# Log-odds that a lot may bring per unit of a feature: below all that anybody is told,
# and above what half precision can tell apart.
LOT: Final = 3e-5
WEIGHTS = np.dtype("<f4")
CREDITS = np.dtype([("label", "<i8"), ("credit", "<f8")])

# Every like learns: so fixed, as Django would take longer to write them.
FORMER = """
SELECT id, profile_id, space_id, prior, credits FROM matching_taste
WHERE profile_id = %s
"""
KEEP = """
INSERT INTO matching_taste
    (profile_id, space_id, prior, weights, credits, labels, likes, updated_at)
VALUES (%(profile)s, %(space)s, %(prior)s, %(weights)s, %(credits)s, %(labels)s,
        %(likes)s, %(now)s)
ON CONFLICT (profile_id, space_id) DO UPDATE SET prior = excluded.prior,
    weights = excluded.weights, credits = excluded.credits,
    labels = excluded.labels, likes = excluded.likes, updated_at = excluded.updated_at
"""
# As one row of lists, in one order: see matching.labels.
KEPT = """
SELECT array_agg(profile_id), array_agg(labels), array_agg(likes),
    string_agg(weights, ''::bytea)
FROM matching_taste
WHERE profile_id = ANY(%(ids)s::uuid[]) AND space_id = %(space)s
"""


def believed(profile: Profile, space: Space) -> Prior:
    """What is believed of a person's taste before they have said anything."""
    return active_prior(profile.seeking, space=space)


def fit(
    taught: Labels, *, prior: Prior, start: FloatArray | None = None
) -> BayesianPreference:
    """The taste that labels teach: without a start, bitwise the same for the same."""
    return BayesianPreference.fit(
        taught.examples,
        liked=taught.liked,
        example_weights=taught.weights,
        prior=prior,
        start=start,
    )


def learned(
    profile: Profile, space: Space, *, until: int | None = None
) -> BayesianPreference:
    """The taste by the labels that stand now, learned on demand, without a start."""
    taught = labels.of(profile, space, until=until)
    return fit(taught, prior=believed(profile, space))


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
    """Learn the person's taste anew and keep it; nothing once they are erased.

    The lock makes two who do so at once take turns: the last one sees all.
    """
    people = Profile.objects.select_for_update(no_key=True)
    if people.filter(pk=profile.pk).exists():
        relearn(profile, warm=warm)


def relearn(profile: Profile, *, warm: bool = True) -> None:
    """Keep the taste in the active space, and no other, of a person who is locked.

    A `warm` fit starts where the last one ended, and is equal to a cold one only to the
    tolerance.
    """
    space = active_space()
    taught, prior = labels.of(profile, space), believed(profile, space)
    former = {
        taste.space_id: taste for taste in Taste.objects.raw(FORMER, [profile.pk])
    }
    if len(taught.ids):
        last = former.pop(space.pk, None)
        goes_on = warm and last is not None and last.prior == prior.version
        start = _start(taught, last) if last and goes_on else None
        _keep(profile, space, taught, fit(taught, prior=prior, start=start))
    if former:
        Taste.objects.filter(pk__in=[taste.pk for taste in former.values()]).delete()


def _start(taught: Labels, last: Taste) -> FloatArray:
    """The credits of the last fit, and 0 for labels that are new."""
    rows = np.frombuffer(last.credits, dtype=CREDITS)
    credits = dict(zip(rows["label"].tolist(), rows["credit"].tolist(), strict=True))
    return np.array([credits.get(label, 0.0) for label in taught.ids.tolist()])


def _keep(
    profile: Profile, space: Space, taught: Labels, taste: LinearPreference
) -> None:
    rows = np.empty(len(taught.ids), dtype=CREDITS)
    rows["label"], rows["credit"] = taught.ids, taste.credits
    row: dict[str, Any] = {
        "profile": profile.pk,
        "space": space.pk,
        "prior": taste.prior.version,
        "weights": taste.weights.astype(WEIGHTS).tobytes(),
        "credits": rows.tobytes(),
        "labels": len(rows),
        "likes": int(taste.liked.sum()),
        "now": timezone.now(),
    }
    with connection.cursor() as cursor:
        cursor.execute(KEEP, row)


def liking(
    profile_ids: Collection[uuid.UUID], features: FloatArray, space: Space
) -> dict[uuid.UUID, float]:
    """Log-odds that each of these people likes somebody with these features (644,).

    Their weights times the features, plus the log-odds of their own share of likes,
    five labels of the average one of them added. Of those whose taste is kept.
    """
    asked: dict[str, str | int] = {"ids": uuid_array(profile_ids), "space": space.pk}
    with connection.cursor() as cursor:
        cursor.execute(KEPT, asked)
        ids, sums, likes, weights = cursor.fetchone()
    if not ids:
        return {}
    # One like and one pass of nobody's: the log-odds of an average exist.
    usual = (sum(likes) + 1) / (sum(sums) + 2)
    told = np.frombuffer(weights, dtype=WEIGHTS).reshape(-1, WIDTH) @ features
    return {
        pk: score + _share_of_likes(liked, labels - liked, usual=usual)
        for pk, score, labels, liked in zip(
            ids, told.tolist(), sums, likes, strict=True
        )
    }


def _share_of_likes(likes: int, passes: int, *, usual: float) -> float:
    """In log-odds."""
    liked = likes + AVERAGE_LABELS * usual
    return math.log(liked / (passes + AVERAGE_LABELS * (1 - usual)))


@transaction.atomic
def reset(profile: Profile) -> None:
    """Forget what was learned: labels until now teach nothing any more.

    They still say whom the person has seen, likes and matches.
    """
    list(Profile.objects.select_for_update(no_key=True).filter(pk=profile.pk))
    labels.standing(profile).update(forgotten_at=timezone.now())
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
