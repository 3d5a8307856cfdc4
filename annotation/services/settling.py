"""What became of photos that were read: written down, or dropped if not ours."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from annotation.backends.base import (
    AnnotationError,
    Call,
    PermanentError,
    Reading,
    Source,
    TransientError,
)
from annotation.models import Annotation
from annotation.schema import BY_NAME, Attributes, Gate, Verdict, problems
from annotation.services import ledger
from annotation.services.claiming import MAX_ATTEMPTS, Claim
from annotation.services.gating import act_on, is_active
from annotation.services.requesting import tell
from profiles.models import Photo, Profile

logger = logging.getLogger(__name__)

DECIMALS = 4
FEATURES_TYPE = np.dtype("<f2")
# What a settled row says, from one document: a value for each column of each row takes
# Django and Postgres far longer.
WRITE = """
UPDATE annotation_annotation AS settled SET
    status = told.status, source = told.source, attributes = told.attributes,
    mass = told.mass, gates = told.gates, features = decode(told.features, 'hex'),
    seconds = told.seconds, cost_usd = told.cost_usd, tokens = told.tokens,
    failure = told.failure, attempts = told.attempts, tries = told.tries,
    alone = told.alone, gated = told.gated,
    lease = NULL, leased_until = NULL, updated_at = %s
FROM jsonb_to_recordset(%s::jsonb) AS told (
    id bigint, status text, source text, attributes jsonb, mass jsonb, gates jsonb,
    features text, seconds float8, cost_usd numeric, tokens integer, failure text,
    attempts smallint, tries integer, alone boolean, gated boolean
)
WHERE settled.id = told.id
"""
COPY = (Call(0.0, outcome=ledger.COPIED),)
BROKE = "annotator-broke"  # the reason of a batch at which the annotator crashed
PAUSES_SECONDS = (0.1, 1.0)

Outcome = Reading | AnnotationError


@dataclass(frozen=True)
class Settled:
    """How many rows are done by a reading or a copy, or have failed, for what reasons.

    The others stay pending: one of them `again` for this.
    """

    read: int = 0
    copied: int = 0
    failed: int = 0
    again: TransientError | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def recorded(self) -> int:
        return self.read + self.copied + self.failed


def settle(claim: Claim, outcomes: Sequence[Outcome]) -> Settled:
    """Write down one outcome per claimed row, act on its gates, and tell the news.

    What somebody else has taken from us is dropped, and what a person no longer
    consents to; the ledger keeps what it took, which names no photo. Where the database
    gives up, at a deadlock for instance, it is asked again: the readings are paid.
    """
    for pause in PAUSES_SECONDS:
        try:
            return _settle(claim, outcomes)
        except OperationalError as error:
            logger.warning("A batch is written again: %s", type(error).__name__)
            if not connection.in_atomic_block:
                connection.close()
            time.sleep(pause)
    return _settle(claim, outcomes)


@transaction.atomic
def _settle(claim: Claim, outcomes: Sequence[Outcome]) -> Settled:
    judged = map(judgement, outcomes)
    by_pk = {row.pk: what for row, what in zip(claim.rows, judged, strict=True)}
    ours = _locked(claim)
    consenting = _consenting(ours)
    for row in ours:
        row.tries += ledger.number_of_tries(calls_of(by_pk[row.pk]))
    for row in consenting:
        _take_down(row, by_pk[row.pk])
    _write(ours)
    settled = _tell_all(consenting, by_pk)
    ledger.write((row, calls_of(by_pk[row.pk])) for row in _unaccounted(claim, ours))
    return settled


def _locked(claim: Claim) -> list[Annotation]:
    """The rows that are still ours. Photos are locked first, as by whoever erases."""
    photos = Photo.objects.filter(pk__in=[row.photo_id for row in claim.rows])
    list(photos.select_for_update(no_key=True).order_by("pk").values_list("pk"))
    rows = claim.ours().select_for_update(of=("self",)).select_related("photo")
    return list(rows.order_by("pk"))


def _consenting(rows: Sequence[Annotation]) -> list[Annotation]:
    owners = {row.photo.owner_id for row in rows}
    people = Profile.objects.annotatable().filter(pk__in=owners)
    consenting = set(people.values_list("pk", flat=True))
    return [row for row in rows if row.photo.owner_id in consenting]


def _unaccounted(claim: Claim, ours: Sequence[Annotation]) -> list[Annotation]:
    """The rows as claimed, but those that were taken from us: they count as lost."""
    if len(ours) == len(claim.rows):
        return [*claim.rows]
    ids = [row.pk for row in claim.rows]
    others = Annotation.objects.filter(pk__in=ids).exclude(pk__in=[r.pk for r in ours])
    taken = set(others.values_list("pk", flat=True))
    return [row for row in claim.rows if row.pk not in taken]


def judgement(outcome: Outcome) -> Outcome:
    """What may be stored of an outcome, or the error that it is.

    Of a photo that may show somebody under age nothing is kept but the gates.
    """
    if isinstance(outcome, AnnotationError):
        return outcome
    if outcome.gates.get(Gate.ADULTS) == Verdict.FAIL:
        return replace(outcome, attributes={}, mass={}, features=None)
    if problems(outcome.attributes) or not _is_mass(outcome.mass):
        return refused(outcome, "off-schema")
    if not np.isfinite(stored_features(outcome)).all():
        return refused(outcome, "features-out-of-range")
    return outcome


def _is_mass(mass: Mapping[str, float]) -> bool:
    return mass.keys() <= BY_NAME.keys() and bool(np.isfinite([*mass.values()]).all())


def refused(reading: Reading, reason: str) -> PermanentError:
    """A reading that cannot be stored, as an error that took the same tries."""
    *before, last = calls_of(reading)
    return PermanentError(reason, (*before, replace(last, outcome=reason)))


def calls_of(outcome: Outcome) -> tuple[Call, ...]:
    """The tries that an outcome took: one, where the back end does not say.

    None, where it was not the photo's turn.
    """
    if outcome.calls or not is_counted(outcome):
        return outcome.calls
    if isinstance(outcome, AnnotationError):
        return (Call(0.0, outcome=outcome.reason),)
    return (Call(outcome.seconds),)


def is_counted(outcome: Outcome) -> bool:
    """Whether it says anything of the photo, rather than of the back end."""
    return not isinstance(outcome, TransientError) or outcome.counted


def stored_features(reading: Reading) -> npt.NDArray[np.float16]:
    """A reading's features as they are kept, (width,); of shape (0,) if it has none."""
    features = np.empty(0) if reading.features is None else reading.features
    with np.errstate(over="ignore"):  # too large becomes infinite, which is refused
        return features.astype(FEATURES_TYPE)


def _take_down(row: Annotation, outcome: Outcome) -> None:
    """Change a row, not yet saved; what is to be tried again stays pending."""
    if not is_counted(outcome):
        row.attempts -= 1
        return
    row.alone = isinstance(outcome, TransientError) and outcome.reason == BROKE
    if isinstance(outcome, Reading):
        _take_down_reading(row, outcome)
    elif isinstance(outcome, PermanentError) or row.attempts >= MAX_ATTEMPTS:
        row.status = Annotation.Status.FAILED
        row.failure = outcome.reason


def _take_down_reading(row: Annotation, reading: Reading) -> None:
    row.status = Annotation.Status.DONE
    row.source = reading.source
    row.attributes = rounded(reading.attributes)
    row.mass = {name: round(float(m), DECIMALS) for name, m in reading.mass.items()}
    row.gates = dict(reading.gates)
    row.features = stored_features(reading).tobytes() or None
    row.seconds = reading.seconds
    row.cost_usd = ledger.usd(reading.cost_usd)
    row.tokens = reading.tokens
    row.failure = ""
    row.gated = is_active(row)


def stored_reading(row: Annotation) -> Reading:
    """What a row keeps of a reading, as a reading again; its tries are not kept."""
    features = None
    if row.features is not None:
        features = np.frombuffer(row.features, FEATURES_TYPE).astype(np.float32)
    return Reading(
        attributes=row.attributes,
        gates={Gate(gate): Verdict(verdict) for gate, verdict in row.gates.items()},
        features=features,
        seconds=row.seconds,
        source=Source(row.source),
        mass=row.mass,
    )


def rounded(attributes: Attributes) -> dict[str, dict[str, float]]:
    """Probabilities to four decimals: finer than annotators know, half the bytes."""
    return {
        name: {value: round(float(p), DECIMALS) for value, p in distribution.items()}
        for name, distribution in attributes.items()
    }


def _write(rows: Sequence[Annotation]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(WRITE, [timezone.now(), json.dumps([*map(_as_json, rows)])])


def _as_json(row: Annotation) -> dict[str, Any]:
    return {
        "id": row.pk,
        "status": row.status,
        "source": row.source,
        "attributes": row.attributes,
        "mass": row.mass,
        "gates": row.gates,
        "features": None if row.features is None else bytes(row.features).hex(),
        "seconds": row.seconds,
        "cost_usd": str(row.cost_usd),
        "tokens": row.tokens,
        "failure": row.failure,
        "attempts": row.attempts,
        "tries": row.tries,
        "alone": row.alone,
        "gated": row.gated,
    }


def _tell_all(rows: Sequence[Annotation], outcomes: Mapping[int, Outcome]) -> Settled:
    done = [row for row in rows if row.status == Annotation.Status.DONE]
    act_on([row for row in done if row.gated])
    for row in done:
        tell(row.photo_id, row.photo.owner_id)
    transient = [o for r in rows if isinstance(o := outcomes[r.pk], TransientError)]
    reasons = Counter(r.failure for r in rows if r.status == Annotation.Status.FAILED)
    copied = sum(outcomes[row.pk].calls == COPY for row in done)
    return Settled(
        read=len(done) - copied,
        copied=copied,
        failed=reasons.total(),
        again=transient[0] if transient else None,
        reasons=reasons,
    )
