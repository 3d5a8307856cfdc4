"""Unchanged bytes are read once by the same model, prompt and schema."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from django.db import connection

from annotation import services
from annotation.backends.base import Call, PermanentError, TransientError
from annotation.models import Annotation, Attempt
from annotation.schema import Verdict
from annotation.services import claiming
from profiles.models import Photo, Profile
from tests.annotation.scripted import Script, reading, row_of, rows_of
from tests.conftest import MakePerson, MakePhoto

PAID = Call(0.5, tokens_in=900, tokens_out=40, cost_usd=0.0001)


@pytest.fixture
def twins(make_person: MakePerson, make_photo: MakePhoto) -> list[Photo]:
    """The same bytes, uploaded by two people."""
    return [make_photo(make_person(), published=False, seed=7) for _ in range(2)]


def test_the_same_bytes_of_another_person_are_copied_for_nothing(
    twins: list[Photo], script: Script
) -> None:
    annotator = script(replace(reading(), calls=(PAID,), mass={"setting": 0.9}))
    for row in rows_of(twins):
        assert services.annotate([row]) == 1
    assert annotator.seen == [1]
    read, copied = map(row_of, twins)
    for field in ("status", "source", "attributes", "mass", "gates"):
        assert getattr(copied, field) == getattr(read, field)
    assert bytes(copied.features or b"") == bytes(read.features or b"")
    assert (float(copied.cost_usd), copied.tokens, copied.seconds) == (0.0, 0, 0.0)
    assert read.cost_usd == Decimal("0.0001")
    assert [a.outcome for a in Attempt.objects.order_by("pk")] == ["done", "copied"]
    assert Attempt.objects.get(outcome="copied").cost_usd == 0


def test_the_same_bytes_in_one_batch_are_read_once(
    twins: list[Photo], alice: Profile, make_photo: MakePhoto, script: Script
) -> None:
    annotator = script()
    assert services.annotate(rows_of([*twins, make_photo(alice)])) == 3
    assert annotator.seen == [2]
    assert row_of(twins[0]).attributes == row_of(twins[1]).attributes
    outcomes = sorted(Attempt.objects.values_list("outcome", flat=True))
    assert outcomes == ["copied", "done", "done"]


def test_the_gates_of_a_copy_are_acted_on(twins: list[Photo], script: Script) -> None:
    script(reading(nudity=Verdict.FAIL))
    for row in rows_of(twins):
        services.annotate([row])
    for photo in twins:
        photo.refresh_from_db()
        assert photo.status == Photo.Status.QUARANTINED


def test_a_reading_that_was_withheld_is_copied_as_withheld(
    twins: list[Photo], script: Script
) -> None:
    annotator = script(reading(adults=Verdict.FAIL))
    for row in rows_of(twins):
        services.annotate([row])
    assert annotator.seen == [1]
    for photo in twins:
        photo.refresh_from_db()
        assert photo.status == Photo.Status.QUARANTINED
        assert row_of(photo).status == Annotation.Status.DONE
        assert row_of(photo).attributes == {}


@pytest.mark.parametrize("field", ["model", "prompt_version", "schema_version"])
def test_another_versions_reading_is_not_copied(
    twins: list[Photo], script: Script, field: str
) -> None:
    annotator = script()
    services.annotate([row_of(twins[0]).pk])
    Annotation.objects.filter(photo=twins[0]).update(**{field: "older"})
    services.annotate([row_of(twins[1]).pk])
    assert annotator.seen == [1, 1]


def test_a_failure_is_no_reading_to_copy_later(
    twins: list[Photo], script: Script
) -> None:
    annotator = script(PermanentError("refused"))
    for row in rows_of(twins):
        services.annotate([row])
    assert annotator.seen == [1, 1]
    assert row_of(twins[1]).status == Annotation.Status.DONE


def test_the_same_bytes_in_one_batch_fail_together(
    twins: list[Photo], script: Script
) -> None:
    annotator = script(PermanentError("refused"))
    assert services.annotate(rows_of(twins)) == 2
    assert annotator.seen == [1]
    assert [row_of(photo).failure for photo in twins] == ["refused", "refused"]


def test_one_lost_file_does_not_cost_its_twin_the_reading(
    twins: list[Photo], script: Script
) -> None:
    script()
    twins[0].annotation.storage.delete(str(twins[0].annotation.name))
    assert services.annotate(rows_of(twins)) == 2
    assert row_of(twins[0]).failure == "file-missing"
    assert row_of(twins[1]).status == Annotation.Status.DONE


def test_a_copy_needs_no_file(twins: list[Photo], script: Script) -> None:
    script()
    services.annotate([row_of(twins[0]).pk])
    twins[1].annotation.storage.delete(str(twins[1].annotation.name))
    assert services.annotate([row_of(twins[1]).pk]) == 1
    assert row_of(twins[1]).status == Annotation.Status.DONE


def test_bytes_that_somebody_is_reading_wait_to_be_copied(
    twins: list[Photo], script: Script
) -> None:
    annotator = script()
    first, second = rows_of(twins)
    held = claiming.claim(
        claiming.due("fake").filter(pk=first), backend="fake", limit=1
    )
    with pytest.raises(services.LeasedError):
        services.annotate([second])
    assert row_of(twins[1]).attempts == 0
    claiming.release(held)
    services.annotate([first])
    services.annotate([second])
    assert annotator.seen == [1]


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_read_the_same_bytes_once(
    twins: list[Photo], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotator = script()
    look = claiming._unlike_others

    def look_for_long(rows: Sequence[Annotation]) -> list[Annotation]:
        found = look(rows)
        time.sleep(0.2)  # between the look and the claim, anybody else would look too
        return found

    monkeypatch.setattr(claiming, "_unlike_others", look_for_long)
    together = threading.Barrier(2)

    def work(row: int) -> None:
        together.wait()
        try:
            services.annotate([row])
        except TransientError:
            pass
        finally:
            connection.close()

    workers = [threading.Thread(target=work, args=[row]) for row in rows_of(twins)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for row in rows_of(twins):
        services.annotate([row])
    assert annotator.seen == [1]
    assert {row_of(photo).status for photo in twins} == {Annotation.Status.DONE}


def test_the_features_of_a_copy_are_the_same_to_the_bit(
    twins: list[Photo], script: Script
) -> None:
    odd = np.random.default_rng(3).normal(size=96).astype(np.float32)
    script(replace(reading(), features=odd))
    services.annotate(rows_of(twins))
    services.annotate(rows_of(twins))
    first, second = (bytes(row_of(photo).features or b"") for photo in twins)
    assert first == second == odd.astype("<f2").tobytes()
