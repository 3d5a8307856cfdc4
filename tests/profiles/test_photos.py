"""Taking photos in, publishing, withdrawing and deleting them."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import connection
from django.utils import timezone

from profiles import services, signals, storage
from profiles.ingest import Ingested
from profiles.models import Photo, Profile
from tests.conftest import MakePerson, MakePhoto, photo_bytes
from twinby.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnavailableError,
)

PROFILE, ANCHOR = Photo.Purpose.PROFILE, Photo.Purpose.ANCHOR
GATES, MODERATOR = Photo.ApprovalSource.GATES, Photo.ApprovalSource.MODERATOR


def files(media: Path) -> list[Path]:
    return sorted(path for path in media.rglob("*") if path.is_file())


def add(owner: Profile, *, seed: int = 0, purpose: Photo.Purpose = PROFILE) -> Photo:
    return services.add_photo(owner=owner, data=photo_bytes(seed), purpose=purpose)


@pytest.fixture
def told() -> Any:
    """("approved" | "withdrawn", photo id) of every verdict that was told."""
    news: list[tuple[str, Any]] = []

    def approved(*, photo_id: Any, **_: Any) -> None:
        news.append(("approved", photo_id))

    def withdrawn(*, photo_id: Any, **_: Any) -> None:
        news.append(("withdrawn", photo_id))

    signals.photo_approved.connect(approved)
    signals.photo_withdrawn.connect(withdrawn)
    yield news
    signals.photo_approved.disconnect(approved)
    signals.photo_withdrawn.disconnect(withdrawn)


# Adding -------------------------------------------------------------------------------


def test_a_photo_is_pending_and_its_two_renditions_are_stored(
    alice: Profile, media: Path
) -> None:
    photo = add(alice)
    assert photo.status == Photo.Status.PENDING
    assert photo.expires_at is None
    assert [path.name for path in files(media)] == ["annotation.jpg", "display.webp"]
    assert str(alice.pk) not in str(files(media))


def test_an_anchor_expires_after_its_month(alice: Profile, settings: Any) -> None:
    anchor = add(alice, purpose=ANCHOR)
    assert anchor.expires_at is not None
    left = anchor.expires_at - timezone.now()
    assert abs(left - dt.timedelta(days=30)) < dt.timedelta(minutes=1)


def test_the_same_bytes_are_the_same_photo(alice: Profile, media: Path) -> None:
    assert add(alice).pk == add(alice).pk
    assert len(files(media)) == 2


def test_an_anchor_uploaded_again_is_live_for_another_month(
    alice: Profile, media: Path
) -> None:
    anchor = add(alice, purpose=ANCHOR)
    gone_by = timezone.now() - dt.timedelta(minutes=1)
    Photo.objects.filter(pk=anchor.pk).update(expires_at=gone_by)
    again = add(alice, purpose=ANCHOR)
    assert again == anchor
    assert again.expires_at is not None
    assert again.expires_at - timezone.now() > dt.timedelta(days=29)
    assert Photo.objects.usable_as_example(alice).get() == anchor
    assert services.expire_anchors() == 0
    assert len(files(media)) == 2


def test_an_anchor_uploaded_again_while_old_ones_are_deleted_stays(
    alice: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = {add(alice, seed=seed, purpose=ANCHOR).pk: seed for seed in (1, 2)}
    Photo.objects.update(expires_at=timezone.now())
    real = storage.remove_on_commit

    def remove(photo_ids: list[Any]) -> None:
        """As the first of the two goes, the other is uploaded again."""
        for other in seeds.keys() - photo_ids:
            add(alice, seed=seeds[other], purpose=ANCHOR)
        real(photo_ids)

    monkeypatch.setattr(storage, "remove_on_commit", remove)
    assert services.expire_anchors() == 1
    assert Photo.objects.usable_as_example(alice).get().pk in seeds


def test_the_same_bytes_may_be_photo_anchor_and_somebody_elses(
    alice: Profile, make_person: MakePerson
) -> None:
    photos = {add(alice), add(alice, purpose=ANCHOR), add(make_person())}
    assert len(photos) == 3


def test_it_refuses_a_photo_without_consent(
    make_person: MakePerson, media: Path
) -> None:
    with pytest.raises(ForbiddenError) as refusal:
        add(make_person(consent=False))
    assert refusal.value.problem_kind == "consent-required"
    assert not Photo.objects.exists()
    assert not files(media)


@pytest.mark.parametrize(
    ("purpose", "knob"),
    [(PROFILE, "PHOTOS_PER_PERSON"), (ANCHOR, "ANCHORS_PER_PERSON")],
)
def test_it_refuses_more_photos_than_a_person_may_have(
    alice: Profile, settings: Any, media: Path, purpose: Photo.Purpose, knob: str
) -> None:
    setattr(settings, knob, 2)
    first = add(alice, seed=1, purpose=purpose)
    add(alice, seed=2, purpose=purpose)
    with pytest.raises(ConflictError) as refusal:
        add(alice, seed=3, purpose=purpose)
    assert refusal.value.problem_kind == "too-many-photos"
    assert add(alice, seed=1, purpose=purpose) == first  # what is there stays welcome
    assert len(files(media)) == 4


@pytest.mark.parametrize("works_for", [0, 1])
def test_a_storage_that_fails_leaves_neither_file_nor_row(
    alice: Profile, media: Path, monkeypatch: pytest.MonkeyPatch, works_for: int
) -> None:
    real, calls = FileSystemStorage._save, iter(range(10))  # type: ignore[attr-defined]

    def fill_the_disk(self: Any, name: str, content: Any) -> str:
        if next(calls) < works_for:
            return real(self, name, content)  # type: ignore[no-any-return]
        target = Path(self.path(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"half a pho")
        raise OSError("No space left on device")

    monkeypatch.setattr(FileSystemStorage, "_save", fill_the_disk)
    with pytest.raises(UnavailableError):
        add(alice)
    assert not Photo.objects.exists()
    assert not files(media)


@pytest.mark.parametrize("works_for", [0, 1])
def test_a_storage_that_is_down_is_asked_once_to_remove_what_an_upload_began(
    alice: Profile, monkeypatch: pytest.MonkeyPatch, works_for: int
) -> None:
    real, calls = FileSystemStorage._save, iter(range(10))  # type: ignore[attr-defined]
    asked: list[str] = []

    def save(self: Any, name: str, content: Any) -> str:
        if next(calls) < works_for:
            return real(self, name, content)  # type: ignore[no-any-return]
        raise ConnectionError(name)

    def delete(self: Any, name: str) -> None:
        asked.append(name)
        raise ConnectionError(name)

    monkeypatch.setattr(FileSystemStorage, "_save", save)
    monkeypatch.setattr(FileSystemStorage, "delete", delete)
    with pytest.raises(UnavailableError):
        add(alice)
    assert [Path(name).name for name in asked] == ["display.webp"]


def test_an_upload_of_which_nothing_was_stored_has_one_file_to_remove(
    alice: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(self: Any, name: str, content: Any) -> str:
        raise ConnectionError(name)

    def delete(self: Any, name: str) -> None:
        asked.append(name)

    monkeypatch.setattr(FileSystemStorage, "_save", refuse)
    monkeypatch.setattr(FileSystemStorage, "delete", delete)
    with pytest.raises(UnavailableError):
        add(alice)
    assert [Path(name).name for name in asked] == ["display.webp"]


def test_a_row_that_cannot_be_written_leaves_no_file(
    alice: Profile, media: Path
) -> None:
    def refuse(**_: Any) -> None:
        raise ZeroDivisionError

    signals.photo_added.connect(refuse)
    try:
        with pytest.raises(ZeroDivisionError):
            add(alice)
    finally:
        signals.photo_added.disconnect(refuse)
    assert not Photo.objects.exists()
    assert not files(media)


# Meanwhile: decoding takes time, and much can happen in it ----------------------------


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Let something happen once a photo's files are stored and its row is not."""
    real = storage.write

    def arrange(happening: Callable[[], Any]) -> None:
        def write(photo: Photo, new: Ingested) -> None:
            real(photo, new)
            happening()

        monkeypatch.setattr(storage, "write", write)

    return arrange


def test_a_consent_withdrawn_meanwhile_counts(
    alice: Profile, media: Path, meanwhile: Callable[[Callable[[], Any]], None]
) -> None:
    meanwhile(lambda: services.update_profile(alice, consent=False))
    with pytest.raises(ForbiddenError):
        add(alice)
    assert not Photo.objects.exists()
    assert not files(media)


def test_an_owner_erased_meanwhile_leaves_nothing(
    alice: Profile, media: Path, meanwhile: Callable[[Callable[[], Any]], None]
) -> None:
    meanwhile(lambda: services.erase_profile(Profile.objects.get(pk=alice.pk)))
    with pytest.raises(NotFoundError):
        add(alice)
    assert not Photo.objects.exists()
    assert not files(media)


def at_once(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    """Results, or exceptions, of jobs that all start in the same moment."""
    results: list[Any] = [None] * len(jobs)
    gate = threading.Barrier(len(jobs))

    def run(index: int) -> None:
        gate.wait(10)
        try:
            results[index] = jobs[index]()
        except Exception as error:  # noqa: BLE001 - it is the result
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def test_the_same_upload_many_times_at_once_is_one_photo(
    transactional_db: None, alice: Profile, media: Path
) -> None:
    photos = at_once([lambda: add(alice)] * 6)
    assert {photo.pk for photo in photos} == {Photo.objects.get().pk}
    assert len(files(media)) == 2


def test_uploads_at_once_do_not_slip_past_the_limit(
    transactional_db: None, alice: Profile, media: Path, settings: Any
) -> None:
    settings.PHOTOS_PER_PERSON = 2
    jobs = [lambda seed=seed: add(alice, seed=seed) for seed in range(6)]
    outcomes = at_once(jobs)
    assert sum(isinstance(outcome, Photo) for outcome in outcomes) == 2
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 4
    assert Photo.objects.count() == 2
    assert len(files(media)) == 4


# Verdicts -----------------------------------------------------------------------------


def test_approval_is_told_once(
    alice: Profile, told: list[Any], make_photo: MakePhoto
) -> None:
    photo = add(alice)
    assert services.approve(photo.pk, source=MODERATOR)
    assert not services.approve(photo.pk, source=MODERATOR)
    assert told == [("approved", photo.pk)]


@pytest.mark.parametrize(
    ("withdraw", "status"),
    [(services.reject, "rejected"), (services.quarantine, "quarantined")],
)
def test_withdrawal_is_told_once_with_its_reason_kept(
    alice: Profile, told: list[Any], withdraw: Callable[..., bool], status: str
) -> None:
    photo = add(alice)
    assert withdraw(photo.pk, reason="x" * 500)
    assert not withdraw(photo.pk, reason="again")
    photo.refresh_from_db()
    assert (photo.status, photo.status_reason) == (status, "x" * 200)
    assert told == [("withdrawn", photo.pk)]


def test_gates_never_publish_what_a_moderator_refused_meanwhile(
    alice: Profile, told: list[Any]
) -> None:
    photo = add(alice)
    services.reject(photo.pk, reason="not a person")
    told.clear()
    assert not services.approve(photo.pk, source=GATES)
    assert not services.quarantine(photo.pk, reason="failed: nudity")
    photo.refresh_from_db()
    assert (photo.status, photo.status_reason) == ("rejected", "not a person")
    assert told == []


def test_gates_never_take_down_what_a_moderator_approved(alice: Profile) -> None:
    photo = add(alice)
    services.approve(photo.pk, source=GATES)
    assert services.approve(photo.pk, source=MODERATOR)  # confirms the gates
    assert not services.quarantine(photo.pk, reason="failed: quality")
    photo.refresh_from_db()
    assert photo.status == Photo.Status.APPROVED


def test_gates_take_down_what_they_published_themselves(alice: Profile) -> None:
    photo = add(alice)
    services.approve(photo.pk, source=GATES)
    assert services.quarantine(photo.pk, reason="failed: quality")


def test_a_moderator_may_publish_what_was_refused(
    alice: Profile, told: list[Any]
) -> None:
    photo = add(alice)
    services.quarantine(photo.pk, reason="failed: nudity")
    assert services.approve(photo.pk, source=MODERATOR)
    services.reject(photo.pk, reason="on second thoughts")
    assert services.approve(photo.pk, source=MODERATOR)
    photo.refresh_from_db()
    assert photo.status_reason == ""
    assert [kind for kind, _ in told] == ["withdrawn", "approved"] * 2


def test_a_verdict_on_a_photo_that_is_gone_changes_nothing(
    alice: Profile, told: list[Any]
) -> None:
    photo = add(alice)
    services.delete_photo(Photo.objects.get(pk=photo.pk))
    told.clear()
    assert not services.approve(photo.pk, source=MODERATOR)
    assert not services.reject(photo.pk, reason="late")
    assert told == []


def test_of_many_approvals_at_once_one_counts(
    transactional_db: None, alice: Profile, told: list[Any]
) -> None:
    photo = add(alice)
    jobs = [lambda: services.approve(photo.pk, source=MODERATOR)] * 4
    assert sorted(at_once(jobs)) == [False, False, False, True]
    assert told == [("approved", photo.pk)]


# Ends ---------------------------------------------------------------------------------


def test_a_deleted_photo_takes_its_files_along(
    transactional_db: None, alice: Profile, media: Path, told: list[Any]
) -> None:
    photo, kept = add(alice, seed=1), add(alice, seed=2)
    services.delete_photo(Photo.objects.get(pk=photo.pk))
    assert {path.parent.name for path in files(media)} == {str(kept.pk)}
    assert told == [("withdrawn", photo.pk)]


def test_anchors_go_on_their_day_and_nothing_else_does(
    transactional_db: None, alice: Profile, media: Path, make_photo: MakePhoto
) -> None:
    photo, old = make_photo(alice), add(alice, purpose=ANCHOR)
    young = add(alice, seed=2, purpose=ANCHOR)
    now = timezone.now()
    Photo.objects.filter(pk=old.pk).update(expires_at=now)
    assert services.expire_anchors(now=now - dt.timedelta(seconds=1)) == 0
    assert services.expire_anchors(now=now) == 1
    assert services.expire_anchors(now=now) == 0
    assert set(Photo.objects.all()) == {photo, young}
    assert len(files(media)) == 4


def test_a_storage_that_is_down_does_not_stop_an_erasure_and_is_swept_later(
    transactional_db: None,
    alice: Profile,
    media: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    add(alice, seed=1)
    add(alice, seed=2)
    asked: list[str] = []
    with monkeypatch.context() as down:

        def refuse(self: Any, name: str) -> None:
            asked.append(name)
            raise ConnectionError(name)

        down.setattr(FileSystemStorage, "delete", refuse)
        services.erase_profile(alice)
    assert not Profile.objects.exists()
    assert len(files(media)) == 4
    assert len(asked) == 1, "somebody waits: each file might take as long"
    assert caplog.messages == ["A rendition could not be removed: ConnectionError"]
    assert storage.sweep(older_than=dt.timedelta(hours=1)) == 0  # may be an upload
    assert storage.sweep(older_than=-dt.timedelta(seconds=5)) == 2
    assert not files(media)


def test_the_sweep_spares_files_that_have_a_row(alice: Profile, media: Path) -> None:
    add(alice)
    assert storage.sweep(older_than=-dt.timedelta(seconds=5)) == 0
    assert len(files(media)) == 2


def test_the_sweep_passes_by_folders_that_are_not_ours(
    transactional_db: None, alice: Profile, media: Path
) -> None:
    orphan = add(alice)
    Photo.objects.all().delete()
    shard = media / "photos" / str(orphan.pk)[:2]
    for foreign in (media / "photos" / "lost+found" / "x", shard / "@eaDir"):
        foreign.mkdir(parents=True)
        (foreign / "display.webp").write_bytes(b"not ours")
    assert storage.sweep(older_than=-dt.timedelta(seconds=5)) == 1
    assert [path.read_bytes() for path in files(media)] == [b"not ours"] * 2


@pytest.fixture
def orphans(transactional_db: None, alice: Profile) -> list[Photo]:
    """Photos without a row, in the order in which the sweep comes to them."""
    photos = [add(alice, seed=seed) for seed in range(4)]
    Photo.objects.all().delete()
    return sorted(photos, key=lambda photo: str(photo.pk))


def test_the_sweep_goes_on_after_files_that_cannot_be_removed_and_says_so_once(
    orphans: list[Photo],
    media: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stuck, real = [str(photo.pk) for photo in orphans[:2]], FileSystemStorage.delete

    def refuse_some(self: Any, name: str) -> None:
        if any(pk in name for pk in stuck):
            raise PermissionError(name)
        real(self, name)

    monkeypatch.setattr(FileSystemStorage, "delete", refuse_some)
    assert storage.sweep(older_than=-dt.timedelta(seconds=5)) == 2
    assert {path.parent.name for path in files(media)} == set(stuck)
    assert caplog.messages == [
        "Renditions could not be removed: {'PermissionError': 2}"
    ]


def test_the_sweep_gives_up_where_very_many_files_cannot_be_removed(
    orphans: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(self: Any, name: str) -> None:
        asked.append(name)
        raise ConnectionError(name)

    monkeypatch.setattr(storage, "SWEEP_FAILURES", 3)
    monkeypatch.setattr(FileSystemStorage, "delete", refuse)
    assert storage.sweep(older_than=-dt.timedelta(seconds=5)) == 0
    assert len(asked) == 3


def test_the_sweep_removes_what_it_finds_before_it_looks_for_more(
    orphans: list[Photo], media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the names of a batch, and of one folder, not those of all photos."""
    real = FileSystemStorage.listdir
    last = str(orphans[-1].pk)[:2]

    def fail_in_the_end(self: Any, path: str) -> tuple[list[str], list[str]]:
        if path.endswith(f"/{last}"):
            raise ConnectionError(path)
        return real(self, path)

    monkeypatch.setattr(storage, "SWEEP_BATCH", 1)
    monkeypatch.setattr(FileSystemStorage, "listdir", fail_in_the_end)
    with pytest.raises(ConnectionError):
        storage.sweep(older_than=-dt.timedelta(seconds=5))
    assert {path.parent.parent.name for path in files(media)} == {last}


def test_there_is_nothing_to_sweep_before_the_first_photo(db: None) -> None:
    assert storage.sweep(older_than=dt.timedelta(0)) == 0
