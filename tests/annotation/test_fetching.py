"""A storage that fails costs no photo an attempt, and one photo no others theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from annotation import services
from annotation.backends.base import BackendUnavailableError, TransientError
from annotation.models import Annotation, Attempt
from annotation.services import running
from profiles.models import Photo, Profile
from tests.annotation.scripted import Script, row_of, rows_of
from tests.conftest import MakePhoto

# The file that is asked for, and how many were asked for before; whether that fails.
Fails = Callable[[str, int], bool]
Break = Callable[[Fails], list[str]]


@pytest.fixture
def photos(alice: Profile, make_photo: MakePhoto) -> list[Photo]:
    return [make_photo(alice, published=False) for _ in range(4)]


@pytest.fixture
def break_storage(monkeypatch: pytest.MonkeyPatch) -> Break:
    """Lets reading a file fail; gives the names of those that were asked for."""

    def arrange(fails: Fails) -> list[str]:
        real, asked = FileSystemStorage._open, list[str]()  # type: ignore[attr-defined]

        def open_or_fail(self: Any, name: str, mode: str = "rb") -> Any:
            asked.append(name)
            if fails(name, len(asked) - 1):
                raise ConnectionError("the storage does not answer")
            return real(self, name, mode)

        monkeypatch.setattr(FileSystemStorage, "_open", open_or_fail)
        return asked

    return arrange


def file_of(photo: Photo) -> Fails:
    return lambda name, _: str(photo.pk) in name


def outcomes(photos: Sequence[Photo]) -> set[tuple[str, int, bool]]:
    rows = map(row_of, photos)
    return {(row.status, row.attempts, row.lease is None) for row in rows}


def test_a_storage_that_is_down_fails_no_photo_however_often_it_is_asked(
    photos: list[Photo], script: Script, break_storage: Break
) -> None:
    annotator, asked = script(), break_storage(lambda *_: True)
    rounds = services.MAX_ATTEMPTS + 1
    for _ in range(rounds):
        with pytest.raises(TransientError, match="storage-unavailable"):
            services.annotate(rows_of(photos))
    assert outcomes(photos) == {("pending", 0, True)}
    assert len(asked) == rounds, "one file of a batch, not each of them"
    assert annotator.seen == []
    assert not Attempt.objects.exists()


def test_what_was_fetched_before_the_storage_failed_is_read(
    photos: list[Photo], script: Script, break_storage: Break
) -> None:
    annotator, asked = script(), break_storage(lambda _, before: before == 2)
    with pytest.raises(TransientError):
        services.annotate(rows_of(photos))
    assert (annotator.seen, len(asked)) == ([2], 3)
    assert outcomes(photos) == {("done", 1, True), ("pending", 0, True)}
    assert services.annotate(rows_of(photos)) == 2
    assert outcomes(photos) == {("done", 1, True)}


def test_a_file_that_is_never_given_keeps_no_others_from_being_read(
    photos: list[Photo], script: Script, break_storage: Break
) -> None:
    script()
    break_storage(file_of(photos[0]))  # the first to be claimed, every time
    for _ in range(100):
        with suppress(TransientError):
            services.annotate(rows_of(photos))
    assert outcomes(photos[:1]) == {("pending", 0, True)}
    assert outcomes(photos[1:]) == {("done", 1, True)}


# Whole bases --------------------------------------------------------------------------


@pytest.fixture
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PAUSES_SECONDS", (0.01,))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_without_pauses")
def test_a_storage_that_is_away_for_a_while_does_not_end_a_run(
    photos: list[Photo], script: Script, break_storage: Break
) -> None:
    script()
    break_storage(lambda _, before: before < services.MAX_ATTEMPTS)
    result = services.Run(workers=1).run()
    assert (result.read, result.left, result.reason) == (4, 0, "")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_without_pauses")
def test_a_run_ends_with_a_word_where_the_storage_gives_none_of_the_rest(
    photos: list[Photo], script: Script, break_storage: Break
) -> None:
    script()
    break_storage(file_of(photos[0]))
    result = services.Run(workers=2).run()
    assert (result.read, result.failed, result.left) == (3, 0, 1)
    assert "The storage gives none" in result.reason
    assert not Annotation.objects.exclude(lease=None).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_without_pauses")
def test_a_run_that_gets_no_photo_at_all_fails(
    photos: list[Photo], script: Script, break_storage: Break
) -> None:
    script()
    break_storage(lambda *_: True)
    with pytest.raises(BackendUnavailableError, match="The storage gives none"):
        services.Run(workers=1).run()
    assert outcomes(photos) == {("pending", 0, True)}
