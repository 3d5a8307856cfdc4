"""Learned priors: kept as rows, activated if they are worth it, found by gender."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone

from matching import labels, spaces
from matching.evaluation.prior_worth import Worth, worth
from matching.features import unpack
from matching.models import LearnedPrior, PersonVector, Space
from matching.preference import Prior, cold_prior
from matching.preference.labels import LabelKind, weight
from matching.preference.learning import learn_prior
from matching.preference.raters import Rater
from profiles.models import Profile
from twinby.errors import InvalidError

# More people make a prior hardly better, and take memory: 2.6 kB a label.
MOST_RATERS: Final = 2_000
LEAST_LABELS: Final = 10
ROLES: Final = ("person", "matched", "passed")
ACTIVE: Final = """
SELECT id FROM matching_learnedprior
WHERE space_id = %s AND seeking = %s AND status = 'active'
"""


@dataclass(frozen=True)
class Label:
    """What one person said of another, so many days ago."""

    person: uuid.UUID
    about: uuid.UUID
    kind: LabelKind
    age_days: float = 0.0


@dataclass(frozen=True)
class Learned:
    """What was learned of those who seek the same genders, and what became of it."""

    seeking: str
    version: str
    raters: int
    activated: bool
    worth: Worth


# Which prior is in use ----------------------------------------------------------------


def active_prior(genders: Iterable[str], *, space: Space | None = None) -> Prior:
    """Of people who seek exactly these genders; cold if none.

    In a space, the active one if none is given.
    """
    within = space or spaces.active_space()
    with connection.cursor() as cursor:
        cursor.execute(ACTIVE, [within.pk, seeking_key(genders)])
        found = cursor.fetchone()
    return _loaded(found[0]) if found else cold_prior()


@lru_cache(maxsize=64)  # for ever: a row's content never changes
def _loaded(pk: int) -> Prior:
    return from_npz(bytes(LearnedPrior.objects.get(pk=pk).content))


def seeking_key(genders: Iterable[str]) -> str:
    """One name for the same genders in any order."""
    return "+".join(sorted(set(genders)))


def to_npz(prior: Prior) -> bytes:
    """The content of a prior, from which `from_npz` makes bitwise the same."""
    parts = {field.name: getattr(prior, field.name) for field in fields(prior)}
    out = io.BytesIO()
    np.savez_compressed(out, **parts)
    return out.getvalue()


def from_npz(data: bytes) -> Prior:
    """Raises ValueError if these are no prior."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as parts:
            return Prior(
                mean=parts["mean"],
                variance=parts["variance"],
                factor=parts["factor"],
                intercept=float(parts["intercept"]),
                version=str(parts["version"]),
            )
    except (KeyError, OSError, ValueError, zipfile.BadZipFile):
        raise ValueError("these are not the bytes of a prior") from None


# Learning -----------------------------------------------------------------------------


def learn(said: Iterable[Label], *, force: bool = False) -> list[Learned]:
    """Learn a prior for each set of genders that the labels' people seek, and keep it.

    It is activated if it beats the plain formula on people it was not learned from, or
    if `force`. Raises InvalidError if the labels tell nothing.
    """
    space = spaces.active_space()
    groups = raters(said, space)
    if not groups:
        raise InvalidError(
            "These labels tell nothing: there must be people who may be found and who "
            "liked somebody and passed somebody who has been read."
        )
    return [
        _learned(space, seeking, group, force=force)
        for seeking, group in sorted(groups.items())
    ]


def _learned(
    space: Space, seeking: str, group: Sequence[Rater], *, force: bool
) -> Learned:
    prior, found = learn_prior(group), worth(group)
    row = keep(prior, space=space, seeking=seeking, raters=len(group), worth=found)
    if activated := found.is_better or force:
        activate(row)
    return Learned(seeking, prior.version, len(group), activated, found)


def keep(
    prior: Prior, *, space: Space, seeking: str, raters: int, worth: Worth
) -> LearnedPrior:
    """The row of a prior; the same prior gives the same row again."""
    row, _ = LearnedPrior.objects.update_or_create(
        version=prior.version,
        space=space,
        seeking=seeking,
        defaults={"raters": raters, "metrics": asdict(worth)},
        create_defaults={
            "raters": raters,
            "metrics": asdict(worth),
            "content": to_npz(prior),
        },
    )
    return row


@transaction.atomic
def activate(row: LearnedPrior) -> None:
    """From now on this prior is that of its genders in its space."""
    rivals = LearnedPrior.objects.filter(space=row.space, seeking=row.seeking)
    list(rivals.select_for_update().order_by("pk"))  # two who activate take turns
    rivals.filter(status=LearnedPrior.Status.ACTIVE).exclude(pk=row.pk).update(
        status=LearnedPrior.Status.RETIRED
    )
    rivals.filter(pk=row.pk).update(
        status=LearnedPrior.Status.ACTIVE, activated_at=timezone.now()
    )


def raters(told: Iterable[Label], space: Space) -> dict[str, list[Rater]]:
    """People's labels in a space, by the genders they seek; the last word counts.

    Left out: people who are gone or have not been read, and raters who do not tell
    anybody apart.
    """
    said: dict[uuid.UUID, dict[uuid.UUID, Label]] = defaultdict(dict)
    for label in sorted(told, key=lambda one: -one.age_days):
        said[label.person][label.about] = label
    everybody = {about for own in said.values() for about in own}
    vectors = {
        pk: unpack(vector)
        for pk, vector in PersonVector.objects.filter(
            space=space, profile_id__in=everybody
        ).values_list("profile_id", "vector")
    }
    seekers = Profile.objects.filter(pk__in=said).order_by("pk")
    groups: dict[str, list[Rater]] = defaultdict(list)
    for person, seeking in seekers.values_list("pk", "seeking"):
        own = [label for about, label in said[person].items() if about in vectors]
        rater = _rater(own, vectors)
        if rater.tells:
            groups[seeking_key(seeking)].append(rater)
    return dict(groups)


def _rater(labels: Sequence[Label], vectors: Mapping[uuid.UUID, np.ndarray]) -> Rater:
    return Rater.of(
        np.array([vectors[label.about] for label in labels]),
        liked=[label.kind.liked for label in labels],
        weights=[weight(label.kind, label.age_days) for label in labels],
    )


def labels_said(*, people: int = MOST_RATERS) -> list[Label]:
    """What people have said here, by so many who have said enough, drawn at random.

    Raises InvalidError if nobody has.
    """
    said = labels.teaching()
    talkative = said.values("actor").annotate(n=Count("pk")).filter(n__gte=LEAST_LABELS)
    # Ids are random, so that the lowest of them are a fair sample.
    actors = talkative.order_by("actor").values_list("actor", flat=True)[:people]
    rows = said.filter(actor__in=list(actors)).order_by("pk")
    now = timezone.now()
    told = [
        Label(actor, target, LabelKind(kind), float((now - at).days))
        for actor, target, kind, at in rows.values_list(
            "actor", "target", "kind", "created_at"
        )
    ]
    if not told:
        raise InvalidError(
            f"Nobody has liked and passed {LEAST_LABELS} people yet; see --feedback."
        )
    return told


def labels_in(file: Path) -> list[Label]:
    """Of JSON lines {"person": …, "matched": …, "passed": …}, ids of profiles.

    As `trainhead --triplets feedback` reads them. Raises InvalidError.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InvalidError(f"{file} cannot be read.") from None
    told: list[Label] = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            person, matched, passed = (uuid.UUID(row[role]) for role in ROLES)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InvalidError(
                f"Line {number} of {file} must be JSON with {', '.join(ROLES)}, the "
                "ids of profiles."
            ) from None
        told.append(Label(person, matched, LabelKind.LIKE))
        told.append(Label(person, passed, LabelKind.PASS))
    return told
