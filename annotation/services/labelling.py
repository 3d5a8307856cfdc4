"""Labelled photos as an annotator reads them: of a file, and what moderators say."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from annotation.backends import annotator_version, batch_size, get_annotator
from annotation.backends.base import AnnotationError, AnnotatorVersion, Reading
from annotation.calibration.calibrator import RawReading
from annotation.calibration.fitting import Allowed, Example, fold_of
from annotation.calibration.labels import Label, LabelsError
from annotation.models import Annotation, Correction
from annotation.schema import BY_NAME
from annotation.services.readers import raw, raw_reading
from annotation.services.requesting import version_fields
from annotation.services.settling import rounded
from profiles.ingest import Ingested, IngestError, ingest

Step = Callable[[int], None]


def examples(
    backend: str | None,
    labels: Sequence[Label],
    *,
    folder: Path,
    corrections: bool,
    step: Step,
) -> list[Example]:
    """The labelled photos as this annotator reads them. Raises LabelsError.

    A label's photo is the id of one that has been read, or the path of an image file
    from `folder`, which is read now; `step` is told of each. `corrections` adds what
    moderators have said, where the labels say nothing.
    """
    version = annotator_version(backend)
    by_id: dict[uuid.UUID, list[Label]] = {}
    by_path: dict[Path, list[Label]] = {}
    for label in labels:
        photo_id = _as_id(label.photo)
        if photo_id:
            by_id.setdefault(photo_id, []).append(label)
        else:
            by_path.setdefault(_as_file(folder, label), []).append(label)
    return [
        *_read_before(version, by_id, corrections=corrections),
        *_read_now(backend, by_path, step),
    ]


def _as_id(photo: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(photo)
    except ValueError:
        return None


def _as_file(folder: Path, label: Label) -> Path:
    """Found before anything is read: reading may take long."""
    try:
        file = folder / label.photo
        if file.is_file():
            return file
    except OSError:  # for instance a name that is too long
        pass
    raise LabelsError(
        f"Line {label.line}: no such file beside the labels, nor the id of a photo."
    )


def _read_before(
    version: AnnotatorVersion,
    by_id: dict[uuid.UUID, list[Label]],
    *,
    corrections: bool,
) -> Iterator[Example]:
    said: dict[uuid.UUID, dict[str, Allowed]] = {}
    if corrections:
        said = _corrections()
    for photo_id, labels in by_id.items():
        said.setdefault(photo_id, {}).update({x.attribute: x.allowed for x in labels})
    rows = Annotation.objects.done().filter(
        photo_id__in=said, **version_fields(version)
    )
    readings = {row.photo_id: raw_reading(row) for row in rows}
    unread = [labels[0].line for pk, labels in by_id.items() if pk not in readings]
    if unread:
        raise LabelsError(
            f"Line {min(unread)}: {version.name} has not read this photo. Run "
            "manage annotate first, or give the path of an image file."
        )
    for photo_id, reading in readings.items():
        yield Example(reading, said[photo_id], fold_of(str(photo_id)))


def _corrections() -> dict[uuid.UUID, dict[str, Allowed]]:
    """What moderators say is there, by photo and attribute; the latest word counts."""
    said: dict[uuid.UUID, dict[str, Allowed]] = {}
    rows = Correction.objects.standing().filter(attribute__in=BY_NAME)
    for row in rows.values_list("photo_id", "attribute", "distribution"):
        photo_id, attribute, distribution = row
        allowed = frozenset(option for option, p in distribution.items() if p)
        said.setdefault(photo_id, {})[attribute] = allowed
    return said


def _read_now(
    backend: str | None, by_path: dict[Path, list[Label]], step: Step
) -> Iterator[Example]:
    files, size = list(by_path), batch_size(backend)
    for start in range(0, len(files), size):
        batch = files[start : start + size]
        images = [_ingested(file, by_path[file][0].line) for file in batch]
        outcomes = get_annotator(backend).read([i.annotation for i in images])
        for file, image, outcome in zip(batch, images, outcomes, strict=True):
            labels = by_path[file]
            if isinstance(outcome, AnnotationError):
                raise LabelsError(
                    f"Line {labels[0].line}: the annotator cannot read this photo "
                    f"({outcome.reason}). Leave it out."
                )
            allowed = {label.attribute: label.allowed for label in labels}
            yield Example(_as_kept(outcome), allowed, fold_of(image.sha256))
        step(len(batch))


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


def _as_kept(reading: Reading) -> RawReading:
    """As its row would keep it."""
    return replace(raw(reading), attributes=rounded(reading.attributes))
