"""Creating, changing and erasing people."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from annotation.models import Annotation, Correction
from annotation.services import correct
from matching.models import PersonVector
from profiles import services, signals
from profiles.models import Client, Photo, Profile, years_before
from tests.conftest import MakePerson, MakePhoto
from twinby.errors import ForbiddenError, InvalidError, NotFoundError


@pytest.fixture
def changed() -> Any:
    """The ids of everybody whose change was told."""
    told: list[Any] = []

    def listen(*, profile_id: Any, **_: Any) -> None:
        told.append(profile_id)

    signals.profile_changed.connect(listen)
    yield told
    signals.profile_changed.disconnect(listen)


def files(media: Path) -> list[Path]:
    return [path for path in media.rglob("*") if path.is_file()]


def test_a_heartbeat_is_no_news(alice: Profile, changed: list[Any]) -> None:
    services.update_profile(alice, last_active_at=timezone.now())
    assert changed == []
    services.update_profile(alice, about="news")
    assert changed == [alice.pk]


@pytest.mark.parametrize("years", [17, 121])
def test_it_refuses_children_and_the_impossibly_old(
    make_person: MakePerson, years: int
) -> None:
    with pytest.raises(InvalidError) as refusal:
        make_person(birth_date=years_before(timezone.localdate(), years))
    assert refusal.value.problem_kind == "not-adult"
    assert not Profile.objects.exists()


def test_it_refuses_whoever_turns_eighteen_tomorrow(make_person: MakePerson) -> None:
    tomorrow = timezone.localdate() + dt.timedelta(days=1)
    with pytest.raises(InvalidError):
        make_person(birth_date=years_before(tomorrow, 18))


def test_it_refuses_fields_it_does_not_know(make_person: MakePerson) -> None:
    with pytest.raises(InvalidError, match="synthetic_id"):
        make_person(synthetic_id=1)


@pytest.mark.parametrize("forbidden", ["client_id", "synthetic", "consented_at", "id"])
def test_a_change_touches_only_what_people_declare(
    alice: Profile, forbidden: str
) -> None:
    with pytest.raises(InvalidError, match=forbidden):
        services.update_profile(alice, **{forbidden: None})


def test_places_are_kept_to_about_a_kilometre(make_person: MakePerson) -> None:
    person = make_person(latitude=51.507351, longitude=-0.127758)
    person.refresh_from_db()
    assert (person.latitude, person.longitude) == (51.51, -0.13)
    services.update_profile(person, latitude=48.858370)
    person.refresh_from_db()
    assert person.latitude == 48.86


def test_half_a_place_is_refused(make_person: MakePerson, alice: Profile) -> None:
    with pytest.raises(InvalidError):
        make_person(latitude=51.5)
    with pytest.raises(InvalidError):
        services.update_profile(alice, longitude=0.1)


def test_nobody_was_active_in_the_future(make_person: MakePerson) -> None:
    person = make_person(last_active_at=timezone.now() + dt.timedelta(days=365))
    assert person.last_active_at <= timezone.now()


def test_sought_ages_are_checked_against_what_is_stored(
    make_person: MakePerson,
) -> None:
    person = make_person(sought_age_min=30, sought_age_max=40)
    with pytest.raises(InvalidError):
        services.update_profile(person, sought_age_min=41)
    services.update_profile(person, sought_age_min=41, sought_age_max=41)
    person.refresh_from_db()
    assert (person.sought_age_min, person.sought_age_max) == (41, 41)


def test_a_refused_change_leaves_everything_as_it_was(
    make_person: MakePerson, changed: list[Any]
) -> None:
    person = make_person(about="here")
    changed.clear()
    with pytest.raises(InvalidError):
        services.update_profile(person, about="there", consent=False, latitude=1)
    person.refresh_from_db()
    assert person.about == "here"
    assert person.consents
    assert changed == []


def test_every_change_is_told(alice: Profile, changed: list[Any]) -> None:
    services.update_profile(alice, about="hello")
    services.block_profile(alice)
    services.unblock_profile(alice)
    assert changed == [alice.pk] * 3


def test_consent_given_twice_keeps_its_first_date(alice: Profile) -> None:
    before = alice.consented_at
    services.update_profile(alice, consent=True)
    alice.refresh_from_db()
    assert alice.consented_at == before


def test_a_blocked_person_cannot_unblock_themselves(alice: Profile) -> None:
    services.block_profile(alice)
    with pytest.raises(ForbiddenError) as refusal:
        services.update_profile(alice, status=Profile.Status.ACTIVE)
    assert refusal.value.problem_kind == "blocked"
    services.update_profile(alice, about="still here")
    alice.refresh_from_db()
    assert alice.status == Profile.Status.BLOCKED


@pytest.mark.parametrize("wish", [Profile.Status.ACTIVE, Profile.Status.PAUSED])
def test_an_unblocked_person_is_what_they_were(alice: Profile, wish: str) -> None:
    services.update_profile(alice, status=wish)
    for decide in (
        services.block_profile,
        services.block_profile,  # twice is once
        services.unblock_profile,
        services.unblock_profile,
    ):
        decide(alice)
    alice.refresh_from_db()
    assert alice.status == wish


def test_a_change_under_way_does_not_hold_up_what_refers_to_the_person(
    transactional_db: None, alice: Profile, make_photo: MakePhoto
) -> None:
    copy = make_photo(alice)
    copy.pk, copy.sha256 = None, "another"

    def insert() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '2s'")
        copy.save(force_insert=True)
        connection.close()

    with transaction.atomic():
        services.update_profile(alice, about="hello")
        with ThreadPoolExecutor(1) as threads:
            threads.submit(insert).result(10)
    assert alice.photos.count() == 2


def test_a_change_of_somebody_erased_meanwhile_is_not_found(alice: Profile) -> None:
    stale = Profile.objects.get(pk=alice.pk)
    services.erase_profile(alice)
    with pytest.raises(NotFoundError):
        services.update_profile(stale, about="too late")
    with pytest.raises(NotFoundError):
        services.erase_profile(stale)


# Consent ------------------------------------------------------------------------------


def test_withdrawn_consent_drops_readings_and_vectors_and_given_again_restores_them(
    work: Callable[[], None], alice: Profile, make_photo: MakePhoto
) -> None:
    make_photo(alice)
    work()
    assert Annotation.objects.done().count() == 1
    assert PersonVector.objects.count() == 1
    services.update_profile(alice, consent=False)
    work()
    assert not Annotation.objects.exists()
    assert not PersonVector.objects.exists()
    services.update_profile(alice, consent=True)
    work()
    assert Annotation.objects.done().count() == 1
    assert PersonVector.objects.count() == 1


# Erasure ------------------------------------------------------------------------------


def test_erasure_takes_files_and_all_that_was_derived(
    work: Callable[[], None],
    media: Path,
    make_person: MakePerson,
    make_photo: MakePhoto,
) -> None:
    alice, bella = make_person(), make_person()
    photo = make_photo(alice)
    make_photo(alice, purpose=Photo.Purpose.ANCHOR)
    kept = make_photo(bella)
    work()
    correct(photo, attribute="eyewear", values=["glasses"], reason="x", moderator=None)
    assert len(files(media)) == 6
    services.erase_profile(alice)
    work()
    assert set(Profile.objects.all()) == {bella}
    assert Photo.objects.get() == kept
    assert Annotation.objects.get().photo == kept
    assert PersonVector.objects.get().profile == bella
    assert not Correction.objects.exists()
    assert {path.parent.name for path in files(media)} == {str(kept.pk)}


def test_moderators_reasons_go_with_whom_they_are_about(
    admin_user: User, make_person: MakePerson, make_photo: MakePhoto
) -> None:
    alice, bella = make_person(), make_person()
    deleted, kept = make_photo(alice), make_photo(alice)
    of_bella = make_photo(bella)
    subjects: list[Profile | Photo] = [alice, bella, deleted, kept, of_bella]
    for subject in subjects:
        _log(admin_user, subject, "looks like a child")
    services.delete_photo(Photo.objects.get(pk=deleted.pk))
    assert _logged() == {str(s.pk) for s in (alice, bella, kept, of_bella)}
    services.erase_profile(Profile.objects.get(pk=alice.pk))
    assert _logged() == {str(bella.pk), str(of_bella.pk)}


def _log(who: User, about: Profile | Photo, why: str) -> None:
    LogEntry.objects.log_actions(who.pk, [about], CHANGE, why, single_object=True)


def _logged() -> set[str | None]:
    return set(LogEntry.objects.values_list("object_id", flat=True))


def test_an_erasure_that_is_rolled_back_keeps_the_files(
    transactional_db: None, media: Path, alice: Profile, make_photo: MakePhoto
) -> None:
    make_photo(alice)
    with transaction.atomic():
        services.erase_profile(alice)
        transaction.set_rollback(True)
    assert Profile.objects.exists()
    assert len(files(media)) == 2


def test_erasure_waits_for_a_reading_under_way_and_then_is_whole(
    transactional_db: None, media: Path, alice: Profile, make_photo: MakePhoto
) -> None:
    photo = make_photo(alice)
    reading, finish = threading.Event(), threading.Event()

    def read() -> None:
        with transaction.atomic():
            row = Annotation.objects.select_for_update().get(photo=photo)
            reading.set()
            assert finish.wait(10)
            row.status = Annotation.Status.DONE
            row.save()
        connection.close()

    def erase() -> None:
        services.erase_profile(alice)
        connection.close()

    worker, eraser = threading.Thread(target=read), threading.Thread(target=erase)
    worker.start()
    assert reading.wait(10)
    eraser.start()
    eraser.join(0.3)
    assert eraser.is_alive()
    finish.set()
    worker.join(10)
    eraser.join(10)
    assert not Profile.objects.exists()
    assert not Annotation.objects.exists()
    assert not files(media)


def test_a_client_cannot_go_while_its_people_are_here(
    client_app: Client, alice: Profile
) -> None:
    with pytest.raises(ProtectedError):
        client_app.delete()
    services.erase_profile(alice)
    client_app.delete()
    assert not Client.objects.exists()
