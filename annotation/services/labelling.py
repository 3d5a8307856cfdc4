"""Labelled photos as an annotator reads them: of a file, and what moderators say.

A photo is its bytes here, whatever it is called: by two ids, by an id and a path, or by
two spellings of either it is one photo, in one fold, and labelled once.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from annotation.backends import annotator_version, batch_size
from annotation.backends.base import (
    AnnotationError,
    AnnotatorVersion,
    PermanentError,
    Reading,
)
from annotation.calibration.calibrator import RawReading
from annotation.calibration.fitting import Allowed, Example, fold_of
from annotation.calibration.labels import Label, LabelsError, refuse_twice
from annotation.models import Annotation, Correction
from annotation.schema import BY_NAME
from annotation.services.asking import faults, read_now
from annotation.services.readers import raw, raw_reading
from annotation.services.requesting import version_fields
from annotation.services.settling import Outcome, judgement, rounded
from profiles.ingest import Ingested, IngestError, ingest
from profiles.models import Photo

Step = Callable[[int], None]
# What is said, by the photo's content and the attribute.
Said = dict[str, dict[str, Allowed]]


@dataclass(frozen=True)
class Named:
    """A photo as labels name it, first on this line; `image` if by a path.

    `content` is the hash of its bytes as uploaded, or its id if there is no such photo.
    """

    line: int
    content: str
    image: bytes | None = None


def examples(
    backend: str,
    labels: Sequence[Label],
    *,
    folder: Path,
    corrections: bool,
    step: Step,
) -> list[Example]:
    """The labelled photos as this annotator reads them. Raises LabelsError.

    A label's photo is the id of one that has been read, or the path of an image file
    from `folder`, which is read now if it never was; `step` is told of each.
    `corrections` adds what moderators have said, where the labels say nothing.
    """
    named = _named(labels, folder)
    refuse_twice((named[label.photo].content, label) for label in labels)
    said = _corrections() if corrections else {}
    for label in labels:
        of_photo = said.setdefault(named[label.photo].content, {})
        of_photo[label.attribute] = label.allowed
    version = annotator_version(backend)
    readings = _read_before(version, said)
    new = _unread(version, named.values(), readings)
    step(len(named) - len(new))
    readings |= _read_now(backend, new, step)
    return [
        Example(readings[content], allowed, fold_of(content))
        for content, allowed in said.items()
        if content in readings
    ]


# Which photos are meant ---------------------------------------------------------------


def _named(labels: Iterable[Label], folder: Path) -> dict[str, Named]:
    """The photos by what the labels call them; all are found before one is read."""
    lines: dict[str, int] = {}
    for label in labels:
        lines.setdefault(label.photo, label.line)
    ids = {photo: key for photo in lines if (key := _as_id(photo))}
    paths = {p: _as_file(folder, p, line) for p, line in lines.items() if p not in ids}
    known = Photo.objects.filter(pk__in=ids.values()).values_list("pk", "sha256")
    content = dict(known)
    found = {
        photo: Named(lines[photo], content.get(key, str(key)))
        for photo, key in ids.items()
    }
    for photo, file in paths.items():
        image = _ingested(file, lines[photo])
        found[photo] = Named(lines[photo], image.sha256, image.annotation)
    return found


def _as_id(photo: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(photo)
    except ValueError:
        return None


def _as_file(folder: Path, photo: str, line: int) -> Path:
    try:
        file = folder / photo
        if file.is_file():
            return file
    except OSError:  # for instance a name that is too long
        pass
    raise LabelsError(
        f"Line {line}: no such file beside the labels, nor the id of a photo."
    )


def _ingested(file: Path, line: int) -> Ingested:
    """As every upload is, so that the annotator sees what it will see."""
    try:
        return ingest(file.read_bytes())
    except IngestError as error:
        raise LabelsError(
            f"Line {line}: this file is no photo that can be used ({error.kind})."
        ) from None
    except OSError:
        raise LabelsError(f"Line {line}: this file cannot be read.") from None


def _corrections() -> Said:
    """What moderators say is there; the latest word on a photo's bytes counts."""
    said: Said = {}
    rows = Correction.objects.standing().filter(attribute__in=BY_NAME)
    for row in rows.values_list("photo__sha256", "attribute", "distribution"):
        content, attribute, distribution = row
        allowed = frozenset(option for option, p in distribution.items() if p)
        said.setdefault(content, {})[attribute] = allowed
    return said


# As the annotator reads them ----------------------------------------------------------


def _read_before(
    version: AnnotatorVersion, contents: Collection[str]
) -> dict[str, RawReading]:
    """What this version has read of these bytes, whatever the photo is called."""
    done = Annotation.objects.done().filter(**version_fields(version)).defer("features")
    rows = done.filter(photo__sha256__in=contents).select_related("photo")
    return {row.photo.sha256: raw_reading(row) for row in rows.order_by("-pk")}


def _unread(
    version: AnnotatorVersion,
    named: Iterable[Named],
    readings: Mapping[str, RawReading],
) -> list[Named]:
    """The files to be read now, equal ones once; LabelsError if one has no file."""
    new = [photo for photo in named if photo.content not in readings]
    files = {photo.content: photo for photo in new if photo.image}
    lines = [photo.line for photo in new if photo.content not in files]
    if lines:
        raise LabelsError(
            f"Line {min(lines)}: {version.name} has not read this photo. Run "
            "manage annotate first, or give the path of an image file."
        )
    return [*files.values()]


def _read_now(
    backend: str, photos: Sequence[Named], step: Step
) -> dict[str, RawReading]:
    readings: dict[str, RawReading] = {}
    size = batch_size(backend)
    for start in range(0, len(photos), size):
        batch = photos[start : start + size]
        outcomes = read_now(backend, [photo.image or b"" for photo in batch])
        judged = [judgement(outcome) for outcome in outcomes]
        _refuse_unread(batch, judged)
        for photo, outcome in zip(batch, judged, strict=True):
            if isinstance(outcome, Reading):
                readings[photo.content] = _as_kept(outcome)
        step(len(batch))
    return readings


def _refuse_unread(photos: Sequence[Named], outcomes: Sequence[Outcome]) -> None:
    """LabelsError with all lines that went wrong; first those to be left out."""
    bad = [
        (photo.line, outcome)
        for photo, outcome in zip(photos, outcomes, strict=True)
        if isinstance(outcome, AnnotationError)
    ]
    if not bad:
        return
    broken = [(line, e) for line, e in bad if isinstance(e, PermanentError)]
    lines = [line for line, _ in broken or bad]
    errors = [error for _, error in broken or bad]
    where = f"Line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}"
    if broken:
        what, then = "the annotator cannot read this", "Leave it out."
    else:
        what, then = "still not read after a minute of trying", "Try again later."
    raise LabelsError(f"{where}: {what} ({faults(errors)}). {then}")


def _as_kept(reading: Reading) -> RawReading:
    """As its row would keep it."""
    return replace(raw(reading), attributes=rounded(reading.attributes))
