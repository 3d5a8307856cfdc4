"""Keeping the index true: people in, people out, one feature space after another."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from django.db import InterfaceError, OperationalError, transaction

from annotation import services as annotation
from annotation.schema import SCHEMA_VERSION
from matching import acceptance, heads, staleness
from matching.features import (
    VISUAL_WIDTH,
    FeatureSpace,
    Sighting,
    pack,
    person_features,
    person_presence,
)
from matching.index import lists
from matching.index.base import Entry
from matching.index.pgvector import PgvectorIndex
from matching.models import Head, PersonVector, Space
from matching.population import fit_space
from matching.selectors import declared
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
from profiles.models import Photo, Profile, ProfileQuerySet
from twinby.errors import ConflictError, NotFoundError

logger = logging.getLogger(__name__)
Step = Callable[[int], None]

# The name by which one goes back to no head at all.
UNTRAINED_NAME = "untrained"
PRESENCE_DECIMALS = 4
INDEX_BATCH = 500
# Enough to know a mean share to half a percent; more would only need more memory.
SAMPLE_PHOTOS = 10_000


class FewerPeopleError(Exception):
    """The new space would take people out of the search."""


def fit_feature_space(*, allow_fewer: bool = False, allow_worse: bool = False) -> Space:
    """Measure the population anew, index everybody beside the old space, take over.

    Searches go on in the old space, by the readings of its annotator, until the new
    one is complete; whoever changes in between is indexed in both.

    Raises FewerPeopleError, and changes nothing, if fewer people could be found than
    now, unless that is allowed: their photos have not been read by the new annotator.
    Raises ConflictError if that one is known to be worse, unless that is allowed.
    """
    if not allow_worse:
        _refuse_worse_annotator()
    space = _building(_fitted(current_projection()))
    _index(Profile.objects.searchable(), space)
    if not allow_fewer:
        _refuse_fewer_people(space)
    lists.build_missing(space)
    with transaction.atomic():
        activate(space)
    lists.drop_unused()
    return space


def activate_annotator(backend: str, *, force: bool = False) -> Space:
    """Let searches go by the readings of this back end's version, if it is not worse.

    Raises NotFoundError, ConflictError if it is not the configured one or is worse, and
    FewerPeopleError; the last two not if `force`.
    """
    version, active = annotation.encoder_name(backend), annotation.active_version().name
    if version != active:
        raise ConflictError(
            f"Photos are read by {active}: set TWINBY_ANNOTATOR={backend} and run "
            "annotate before."
        )
    return fit_feature_space(allow_fewer=force, allow_worse=force)


def _refuse_worse_annotator() -> None:
    """Whoever was in use before may always be gone back to."""
    version = annotation.active_version().name
    spaces = Space.objects.exclude(activated_at=None).order_by("-activated_at")
    readers = spaces.values_list("content__model", flat=True)
    used = [annotation.version_name(reader) for reader in readers]
    if not used or version in used:
        return
    if reason := acceptance.shortcomings(version, used[0]):
        raise ConflictError(f"{version} does not take over: {reason}. See --force.")


def _refuse_fewer_people(space: Space) -> None:
    """Give up a complete space in which fewer people could be found than now."""
    found = PersonVector.objects.filter(profile__in=Profile.objects.searchable())
    people = found.filter(space=space).count()
    known = found.filter(space__status=Space.Status.ACTIVE).count()
    if people < known:
        retire(space)
        raise FewerPeopleError(
            f"Only {people:,} of the {known:,} people who can be found now have a photo"
            " that the active annotator has read."
        )


def _fitted(projection: str) -> tuple[FeatureSpace, int]:
    """A space fitted to a sample of the published photos, and how many these were."""
    frame = {"model": annotation.active_reader(), "projection": projection}
    published = Photo.objects.published().order_by("sha256")  # as good as at random
    sample = published.values_list("pk", flat=True)[:SAMPLE_PHOTOS]
    seen = list(sightings(sample, **frame).values())
    return fit_space(seen, **frame), len(seen)


@transaction.atomic
def _building(fitted: tuple[FeatureSpace, int]) -> Space:
    content, photos = fitted
    space, _ = Space.objects.get_or_create(
        version=content.version,
        defaults={"content": content.to_dict(), "photos": photos},
    )
    # The same numbers as once before: it is filled again.
    retired = Space.objects.filter(pk=space.pk, status=Space.Status.RETIRED)
    if retired.update(status=Space.Status.BUILDING):
        space.vectors.all().delete()
    return space


def _index(people: ProfileQuerySet, space: Space, *, step: Step | None = None) -> None:
    for batch in _batches(people.values_list("pk", flat=True)):
        index_people(batch, spaces=[space])
        if step:
            step(len(batch))


def _batches(ids: Iterable[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    everybody = list(ids)  # 16 bytes each: the work must not hold a cursor open
    for start in range(0, len(everybody), INDEX_BATCH):
        yield everybody[start : start + INDEX_BATCH]


# Heads --------------------------------------------------------------------------------


def activate_head(name: str, *, force: bool = False, step: Step | None = None) -> Space:
    """Project everybody by this head beside the old space, then take over.

    The name is a head's version, or `untrained`. Whoever runs it again after it broke
    off goes on where it ended; `step` is told how many more people are done. Raises
    NotFoundError, ConflictError for a head that does not fit, heads.WeightsError, and,
    unless `force`, ConflictError for one that is worse than the active one, and
    FewerPeopleError.
    """
    if not force:
        _refuse_worse_annotator()
    annotator = annotation.active_version().name
    projection = _activatable(name, annotator, force=force)
    space = _begun(projection) or _building(_fitted(projection))
    _index(staleness.missing(space), space, step=step)
    if not force:
        _refuse_fewer_people(space)
    lists.build_missing(space)
    with transaction.atomic():
        activate(space)
        heads.activate(annotator, projection)
    lists.drop_unused()
    return space


def _activatable(name: str, annotator: str, *, force: bool) -> str:
    """The version of a projection that may become active."""
    width = annotation.features_width()
    if name == UNTRAINED_NAME:
        return heads.untrained_version(width or VISUAL_WIDTH)
    head = Head.objects.filter(version=name).first()
    if head is None:
        raise NotFoundError(f"There is no head {name}: see activatemodel --list.")
    if head.annotator != annotator or head.width != (width or head.width):
        raise ConflictError(
            f"{name} is for {head.width} features of {head.annotator}, and photos are "
            f"read by {annotator}, which gives {width}: train a head for that one, "
            "or set the annotator back."
        )
    heads.load(head)
    rival = heads.current(annotator, width=head.width)
    if not force and (reason := heads.shortcomings(head, rival)):
        raise ConflictError(f"{name} stays as it is: {reason}. See --force.")
    return name


def _begun(projection: str) -> Space | None:
    """The space in which the active reader's photos are projected so, if there is one.

    Whoever changed since it was begun has been indexed in it as well.
    """
    spaces = Space.objects.exclude(status=Space.Status.RETIRED)
    return spaces.filter(
        content__projection=projection,
        content__model=annotation.active_reader(),
        content__schema_version=SCHEMA_VERSION,
    ).first()


# People -------------------------------------------------------------------------------


def reindex(profile_ids: Sequence[uuid.UUID]) -> None:
    """Bring these people's vectors up to date, in a space being built as well."""
    active_space()
    index_people(profile_ids, spaces=live_spaces())


def sweep(*, limit: int | None = None) -> int:
    """Index whom a lost message left out of date, `limit` at most; returns how many.

    One for whom that fails keeps nobody else out; a database that fails ends it.
    """
    space = active_space()
    due = staleness.out_of_date(space, annotator=feature_space(space).model)
    ids = list(due.order_by("pk").values_list("pk", flat=True).distinct()[:limit])
    failures: Counter[str] = Counter()
    for profile_id in ids:
        try:
            reindex([profile_id])
        except (InterfaceError, OperationalError):
            raise
        except Exception as error:  # noqa: BLE001 - the others must be found too
            failures[type(error).__name__] += 1
    if failures:
        logger.warning("People could not be indexed: %s", dict(failures))
    return len(ids) - failures.total()


def build_indexes() -> list[str]:
    """Build what the active space has grown large enough for; returns their names."""
    lists.drop_unused()
    return lists.build_missing(active_space())


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
    frame, index = feature_space(space), PgvectorIndex(space)
    ids = [photo_id for own in photos.values() for photo_id in own]
    seen = sightings_in(frame, ids)
    people = Profile.objects.in_bulk(photos.keys())
    entries = [
        _entry(frame, people[owner_id], [seen[pk] for pk in own if pk in seen])
        for owner_id, own in photos.items()
        if any(pk in seen for pk in own)
    ]
    index.delete(set(profile_ids) - {entry.id for entry in entries})
    index.upsert(entries)


def _entry(frame: FeatureSpace, person: Profile, seen: Sequence[Sighting]) -> Entry:
    presence = person_presence([s.attributes for s in seen])
    return Entry(
        id=person.pk,
        vector=pack(frame, person_features(frame, seen)),
        declared=declared(person),
        presence={k: round(p, PRESENCE_DECIMALS) for k, p in presence.items()},
        photos=len(seen),
    )
