"""Keeping the index true: people in, people out, one feature space after another."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence

from django.db import transaction
from django.utils import timezone

from annotation import services as annotation
from matching import selectors
from matching.features import (
    FeatureSpace,
    Sighting,
    pack,
    person_features,
    person_presence,
)
from matching.models import PersonVector, Space
from matching.population import fit_space
from matching.spaces import (
    activate,
    active_space,
    current_projection,
    feature_space,
    live_spaces,
    retire,
    sightings,
    sightings_in,
)
from profiles.models import Photo, Profile

PRESENCE_DECIMALS = 4
INDEX_BATCH = 500
# Enough to know a mean share to half a percent; more would only need more memory.
SAMPLE_PHOTOS = 10_000


class FewerPeopleError(Exception):
    """The new space would take people out of the search."""


def fit_feature_space(*, allow_fewer: bool = False) -> Space:
    """Measure the population anew, index everybody beside the old space, take over.

    Searches go on in the old space, by the readings of its annotator, until the new
    one is complete; whoever changes in between is indexed in both.

    Raises FewerPeopleError, and changes nothing, if fewer people could be found than
    now, unless that is allowed: their photos have not been read by the new annotator.
    """
    before = active_space()
    space = _building(_fitted())
    everybody = Profile.objects.searchable().values_list("pk", flat=True)
    for batch in _batches(everybody):
        index_people(batch, spaces=[space])
    people, known = space.vectors.count(), before.vectors.count()
    if people < known and not allow_fewer:
        retire(space)
        raise FewerPeopleError(
            f"Only {people:,} of the {known:,} people who can be found now have a photo"
            " that the active annotator has read."
        )
    with transaction.atomic():
        activate(space)
    return space


def _fitted() -> tuple[FeatureSpace, int]:
    """A space fitted to a sample of the published photos, and how many these were."""
    frame = {
        "model": annotation.active_reader(),
        "projection": current_projection(),
    }
    published = Photo.objects.published().order_by("sha256")  # as good as at random
    sample = published.values_list("pk", flat=True)[:SAMPLE_PHOTOS]
    seen = list(sightings(sample, **frame).values())
    return fit_space(seen, **frame), len(seen)


def _building(fitted: tuple[FeatureSpace, int]) -> Space:
    content, photos = fitted
    space, _ = Space.objects.get_or_create(
        version=content.version,
        defaults={"content": content.to_dict(), "photos": photos},
    )
    # The same numbers as once before: it is filled again.
    retired = Space.objects.filter(pk=space.pk, status=Space.Status.RETIRED)
    retired.update(status=Space.Status.BUILDING)
    return space


def _batches(ids: Iterable[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    everybody = list(ids)  # 16 bytes each: the work must not hold a cursor open
    for start in range(0, len(everybody), INDEX_BATCH):
        yield everybody[start : start + INDEX_BATCH]


# People -------------------------------------------------------------------------------


def index_person(profile_id: uuid.UUID) -> None:
    """Bring one person's vectors up to date, in a space being built as well."""
    active_space()
    index_people([profile_id], spaces=live_spaces())


def sweep(*, limit: int | None = None) -> int:
    """Index whom a lost message left out of date, `limit` at most; returns how many."""
    space = active_space()
    due = selectors.out_of_date(space, annotator=feature_space(space).model)
    ids = list(due.order_by("pk").values_list("pk", flat=True).distinct()[:limit])
    for profile_id in ids:
        index_person(profile_id)
    return len(ids)


@transaction.atomic
def index_people(profile_ids: Sequence[uuid.UUID], *, spaces: Sequence[Space]) -> None:
    """Write or delete the vectors of these people: who may not be found has none."""
    # The lock makes two messages about one person take turns: the last one sees all.
    locked = Profile.objects.filter(pk__in=profile_ids).order_by("pk")
    list(locked.select_for_update(no_key=True).values_list("pk", flat=True))
    photos: dict[uuid.UUID, list[uuid.UUID]] = {}
    for photo_id, owner_id in (
        Photo.objects.published()
        .filter(owner__in=Profile.objects.searchable().filter(pk__in=profile_ids))
        .order_by("created_at", "pk")
        .values_list("pk", "owner_id")
    ):
        photos.setdefault(owner_id, []).append(photo_id)
    hidden = set(profile_ids) - photos.keys()
    PersonVector.objects.filter(profile_id__in=hidden).delete()  # in every space
    for space in spaces:
        _write(space, profile_ids, photos)


def _write(
    space: Space,
    profile_ids: Sequence[uuid.UUID],
    photos: dict[uuid.UUID, list[uuid.UUID]],
) -> None:
    frame = feature_space(space)
    ids = [photo_id for own in photos.values() for photo_id in own]
    seen = sightings_in(frame, ids)
    rows = [
        _row(space, frame, owner_id, [seen[pk] for pk in own if pk in seen])
        for owner_id, own in photos.items()
        if any(pk in seen for pk in own)
    ]
    kept = {row.profile_id for row in rows}
    PersonVector.objects.filter(
        space=space, profile_id__in=set(profile_ids) - kept
    ).delete()
    PersonVector.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["profile", "space"],
        update_fields=["vector", "presence", "photos", "updated_at"],
    )


def _row(
    space: Space,
    frame: FeatureSpace,
    profile_id: uuid.UUID,
    seen: Sequence[Sighting],
) -> PersonVector:
    presence = person_presence([s.attributes for s in seen])
    return PersonVector(
        profile_id=profile_id,
        space=space,
        vector=pack(frame, person_features(frame, seen)).tolist(),
        presence={k: round(p, PRESENCE_DECIMALS) for k, p in presence.items()},
        photos=len(seen),
        updated_at=timezone.now(),
    )
