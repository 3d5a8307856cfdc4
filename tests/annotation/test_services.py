"""Readings: asked for once, recorded once, corrected by people, never lost."""

from __future__ import annotations

import datetime as dt
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from dramatiq import Broker

from annotation import services
from annotation.backends import (
    BACKENDS,
    batch_size,
    close_annotators,
    get_annotator,
)
from annotation.backends.base import (
    PermanentError,
    Reading,
    TransientError,
)
from annotation.models import Annotation, Correction
from annotation.schema import NOT_VISIBLE, Verdict
from profiles import services as people
from profiles.models import Photo, Profile
from tests.annotation.scripted import ALL_PASS, Script, reading, row_of
from tests.annotation.slow import SlowToMake
from tests.conftest import MakePerson, MakePhoto
from twinby.errors import InvalidError


def test_an_upload_leaves_a_pending_row_in_the_same_transaction(photo: Photo) -> None:
    assert row_of(photo).status == Annotation.Status.PENDING


@pytest.mark.django_db(transaction=True)
def test_an_upload_puts_its_row_on_the_queue_once_committed(
    broker: Broker, alice: Profile, make_photo: MakePhoto
) -> None:
    broker.flush_all()
    photo = make_photo(alice, published=False)
    message = broker.queues["annotation"].get_nowait()
    assert str(row_of(photo).pk).encode() in message


@pytest.mark.django_db(transaction=True)
def test_an_upload_is_kept_while_the_queue_is_down(
    broker: Broker,
    alice: Profile,
    make_photo: MakePhoto,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("the queue does not answer")

    monkeypatch.setattr(broker, "enqueue", refuse)
    photo = make_photo(alice, published=False)
    assert row_of(photo).status == Annotation.Status.PENDING
    monkeypatch.undo()
    broker.flush_all()
    assert services.sweep(older_than=dt.timedelta(0), limit=10) == 1
    assert broker.queues["annotation"].qsize() == 1


def test_running_twice_equals_running_once(photo: Photo, script: Script) -> None:
    annotator = script(reading(), reading())
    pk = row_of(photo).pk
    assert services.annotate([pk]) == 1
    assert services.annotate([pk]) == 0
    assert annotator.seen == [1]


def test_one_bad_photo_fails_alone_with_its_reason(
    alice: Profile, make_photo: MakePhoto, script: Script
) -> None:
    good, bad = make_photo(alice), make_photo(alice)
    script(reading(), PermanentError("not-an-image"))
    services.annotate([row_of(good).pk, row_of(bad).pk])
    assert row_of(good).status == Annotation.Status.DONE
    assert row_of(bad).status == Annotation.Status.FAILED
    assert row_of(bad).failure == "not-an-image"


def test_a_missing_file_fails_alone(
    alice: Profile, make_photo: MakePhoto, script: Script
) -> None:
    good, bad = make_photo(alice), make_photo(alice)
    bad.annotation.storage.delete(str(bad.annotation.name))
    script(reading())
    services.annotate([row_of(good).pk, row_of(bad).pk])
    assert row_of(good).status == Annotation.Status.DONE
    assert row_of(bad).failure == "file-missing"


def test_a_reading_off_the_schema_is_a_failure_not_a_row(
    photo: Photo, script: Script
) -> None:
    broken = reading()
    broken.attributes["setting"]["gym"] = 0.5  # type: ignore[index]
    script(broken)
    services.annotate([row_of(photo).pk])
    assert row_of(photo).failure == "off-schema"
    assert row_of(photo).attributes == {}


def test_a_transient_error_leaves_the_row_pending_and_is_counted(
    photo: Photo, script: Script
) -> None:
    script(TransientError("busy"))
    with pytest.raises(TransientError):
        services.annotate([row_of(photo).pk])
    assert row_of(photo).status == Annotation.Status.PENDING
    assert row_of(photo).attempts == 1


def test_one_transient_error_does_not_cost_the_others_their_readings(
    alice: Profile, make_photo: MakePhoto, script: Script
) -> None:
    good, busy = make_photo(alice), make_photo(alice)
    script(reading(), TransientError("busy"))
    with pytest.raises(TransientError):
        services.annotate([row_of(good).pk, row_of(busy).pk])
    assert row_of(good).status == Annotation.Status.DONE
    assert row_of(busy).status == Annotation.Status.PENDING


def test_what_may_have_brought_a_worker_down_is_tried_alone(
    alice: Profile, make_photo: MakePhoto, script: Script
) -> None:
    photos = [make_photo(alice) for _ in range(4)]
    Annotation.objects.filter(photo__in=photos[:2]).update(attempts=1, alone=True)
    annotator = script()
    services.annotate([row_of(photo).pk for photo in photos])
    assert annotator.seen == [2, 1, 1]


def test_photos_that_merely_timed_out_are_tried_together(
    alice: Profile, make_photo: MakePhoto, script: Script
) -> None:
    ids = [row_of(make_photo(alice)).pk for _ in range(3)]
    annotator = script(*[TransientError("timed-out")] * 3)
    with pytest.raises(TransientError):
        services.annotate(ids)
    assert services.annotate(ids) == 3
    assert annotator.seen == [3, 3]


def test_what_broke_the_annotator_is_tried_alone_until_it_is_told_what_it_is(
    alice: Profile, make_photo: MakePhoto, script: Script
) -> None:
    ids = [row_of(make_photo(alice)).pk for _ in range(2)]
    annotator = script(RuntimeError("a kernel failed"), TransientError("timed-out"))
    with pytest.raises(RuntimeError):
        services.annotate(ids)
    with pytest.raises(TransientError):
        services.annotate(ids)
    assert annotator.seen == [2, 1, 1]
    assert not Annotation.objects.get(pk=ids[0]).alone


def test_a_photo_that_kills_its_worker_runs_out_of_attempts(
    photo: Photo, script: Script
) -> None:
    for _ in range(services.MAX_ATTEMPTS):
        script(KeyboardInterrupt())  # nothing of ours runs after a SIGKILL either
        with pytest.raises(KeyboardInterrupt):
            services.annotate([row_of(photo).pk])
    annotator = script(reading())
    services.annotate([row_of(photo).pk])
    assert annotator.seen == []
    assert row_of(photo).failure == "too-many-attempts"


def test_a_withdrawn_consent_stops_what_is_queued(photo: Photo, script: Script) -> None:
    annotator = script(reading())
    people.update_profile(photo.owner, consent=False)
    services.annotate([row_of(photo).pk])
    assert annotator.seen == []
    assert row_of(photo).status == Annotation.Status.PENDING


def test_rows_of_another_version_are_not_read_by_this_one(
    photo: Photo, script: Script
) -> None:
    Annotation.objects.update(model="fake-0")
    annotator = script(reading())
    services.annotate([row_of(photo).pk])
    assert annotator.seen == []


def test_features_beyond_half_precision_are_a_failure(
    photo: Photo, script: Script
) -> None:
    too_large = np.full(512, 1e6, np.float32)
    script(replace(reading(), features=too_large))
    services.annotate([row_of(photo).pk])
    assert row_of(photo).failure == "features-out-of-range"


def test_a_heartbeat_of_a_person_tries_no_failed_photo_again(
    photo: Photo, script: Script
) -> None:
    script(PermanentError("refused"))
    services.annotate([row_of(photo).pk])
    services.follow_consent(photo.owner_id)
    assert row_of(photo).status == Annotation.Status.FAILED


def test_a_transient_error_that_never_ends_becomes_a_failure(
    photo: Photo, script: Script
) -> None:
    for _ in range(services.MAX_ATTEMPTS):
        script(TransientError("busy"))
        with pytest.raises(TransientError):
            services.annotate([row_of(photo).pk])
    assert row_of(photo).failure == "busy"


def test_a_crash_in_the_model_leaves_the_row_pending(
    photo: Photo, script: Script
) -> None:
    script(RuntimeError("out of memory"))
    with pytest.raises(RuntimeError):
        services.annotate([row_of(photo).pk])
    assert row_of(photo).status == Annotation.Status.PENDING


def test_a_failed_row_is_tried_again_when_asked_for(
    photo: Photo, script: Script
) -> None:
    script(PermanentError("refused"))
    services.annotate([row_of(photo).pk])
    assert services.request([photo.pk]).queued == [photo.pk]
    assert row_of(photo).status == Annotation.Status.PENDING


def test_asking_tells_queued_done_and_unknown_apart(
    alice: Profile,
    make_photo: MakePhoto,
    make_person: MakePerson,
    script: Script,
) -> None:
    waiting, done = make_photo(alice), make_photo(alice)
    script(reading())
    services.annotate([row_of(done).pk])
    someone = make_person()
    private = make_photo(someone)
    people.update_profile(someone, consent=False)
    nobody = uuid.uuid4()
    asked = services.request([waiting.pk, done.pk, private.pk, nobody])
    assert asked == services.Requested([waiting.pk], [done.pk], [private.pk, nobody])


# Gates --------------------------------------------------------------------------------


def read(photo: Photo, outcome: Reading, script: Script) -> Photo:
    script(outcome)
    services.annotate([row_of(photo).pk])
    photo.refresh_from_db()
    return photo


def test_unknown_gates_do_not_publish(photo: Photo, script: Script) -> None:
    read(photo, reading(face_count=Verdict.PASS, quality=Verdict.PASS), script)
    assert photo.status == Photo.Status.PENDING


def test_four_passes_publish(photo: Photo, script: Script) -> None:
    read(photo, reading(**ALL_PASS), script)
    assert photo.status == Photo.Status.APPROVED
    assert photo.approval_source == Photo.ApprovalSource.GATES


def test_a_failed_gate_quarantines(photo: Photo, script: Script) -> None:
    read(photo, reading(**{**ALL_PASS, "adults": Verdict.FAIL}), script)
    assert photo.status == Photo.Status.QUARANTINED
    assert photo.status_reason == "failed: adults"


def test_a_failed_gate_takes_an_anchor_out_of_searches(
    alice: Profile, make_photo: MakePhoto, script: Script
) -> None:
    anchor = make_photo(alice, purpose=Photo.Purpose.ANCHOR)
    assert anchor in Photo.objects.usable_as_example(alice)
    read(anchor, reading(nudity=Verdict.FAIL), script)
    assert anchor not in Photo.objects.usable_as_example(alice)


def test_a_moderators_approval_stands_against_the_gates(
    photo: Photo, script: Script
) -> None:
    people.approve(photo.pk, source=Photo.ApprovalSource.MODERATOR)
    read(photo, reading(nudity=Verdict.FAIL), script)
    assert photo.status == Photo.Status.APPROVED


def test_an_anchor_is_never_published(
    alice: Profile, make_photo: MakePhoto, script: Script
) -> None:
    anchor = make_photo(alice, purpose=Photo.Purpose.ANCHOR)
    read(anchor, reading(**ALL_PASS), script)
    assert anchor.status == Photo.Status.PENDING


def test_a_moderators_rejection_stands_against_the_gates(
    photo: Photo, script: Script
) -> None:
    people.reject(photo.pk, reason="not a person")
    read(photo, reading(**ALL_PASS), script)
    assert photo.status == Photo.Status.REJECTED


# Corrections --------------------------------------------------------------------------


@pytest.fixture
def moderator(db: None) -> User:
    return User.objects.create_user("moderator", password="m")


def correct(photo: Photo, moderator: User, *values: str, **more: Any) -> Correction:
    fields = {"attribute": "hair_color", "reason": "seen by a person", **more}
    return services.correct(photo, values=values, moderator=moderator, **fields)


def effective(photo: Photo) -> services.EffectiveReading:
    return services.effective_readings([photo.pk])[photo.pk]


def test_a_correction_wins_over_the_model_and_survives_a_new_reading(
    photo: Photo, moderator: User, script: Script
) -> None:
    read(photo, reading(), script)
    correct(photo, moderator, "red")
    assert effective(photo).attributes["hair_color"]["red"] == 1.0
    Annotation.objects.all().delete()
    services.request([photo.pk])
    read(photo, reading(), script)
    assert effective(photo).attributes["hair_color"]["red"] == 1.0
    assert effective(photo).corrected == {"hair_color"}
    assert row_of(photo).attributes["hair_color"][NOT_VISIBLE] == 1.0


def test_the_latest_correction_wins_and_a_withdrawn_one_does_not_count(
    photo: Photo, moderator: User, script: Script
) -> None:
    read(photo, reading(), script)
    correct(photo, moderator, "red")
    second = correct(photo, moderator, "blonde")
    assert effective(photo).attributes["hair_color"]["blonde"] == 1.0
    assert services.withdraw_correction(second)
    assert not services.withdraw_correction(second)
    assert effective(photo).attributes["hair_color"]["red"] == 1.0


def test_a_correction_may_say_that_nothing_can_be_seen(
    photo: Photo, moderator: User, script: Script
) -> None:
    read(photo, reading(), script)
    correct(photo, moderator, NOT_VISIBLE)
    assert effective(photo).attributes["hair_color"][NOT_VISIBLE] == 1.0


def test_a_correction_may_say_that_none_of_many_is_there(
    photo: Photo, moderator: User, script: Script
) -> None:
    read(photo, reading(), script)
    correct(photo, moderator, attribute="objects")
    assert set(effective(photo).attributes["objects"].values()) == {0.0}


@pytest.mark.parametrize(
    ("attribute", "values", "reason"),
    [
        ("beauty", ["high"], "r"),
        ("hair_color", ["purple"], "r"),
        ("hair_color", ["red", "blonde"], "r"),
        ("hair_color", [], "r"),
        ("objects", ["dog", NOT_VISIBLE], "r"),
        ("hair_color", ["red"], "  "),
    ],
)
def test_a_correction_that_cannot_be_is_refused(
    photo: Photo, moderator: User, attribute: str, values: list[str], reason: str
) -> None:
    with pytest.raises(InvalidError):
        correct(photo, moderator, *values, attribute=attribute, reason=reason)
    assert not Correction.objects.exists()


# Sweeping and forgetting --------------------------------------------------------------


def test_the_sweep_finds_what_was_never_asked_for_and_what_got_stuck(
    alice: Profile, make_photo: MakePhoto, script: Script
) -> None:
    lost, stuck, done = (make_photo(alice) for _ in range(3))
    row_of(lost).delete()
    script(reading())
    services.annotate([row_of(done).pk])
    assert services.sweep(older_than=dt.timedelta(0), limit=10) == 2
    assert {row_of(p).status for p in (lost, stuck)} == {Annotation.Status.PENDING}


def test_the_sweep_forgets_readings_without_consent(
    alice: Profile, make_photo: MakePhoto
) -> None:
    make_photo(alice)
    Profile.objects.update(consented_at=None)
    assert services.sweep(older_than=dt.timedelta(0), limit=10) == 0
    assert not Annotation.objects.exists()


def test_the_sweep_leaves_alone_what_was_just_asked_for(photo: Photo) -> None:
    assert services.sweep(older_than=dt.timedelta(minutes=3), limit=10) == 0


def test_forgetting_a_person_drops_their_readings_only(
    alice: Profile, make_person: MakePerson, make_photo: MakePhoto
) -> None:
    mine, theirs = make_photo(alice), make_photo(make_person())
    services.forget(alice.pk)
    assert not Annotation.objects.filter(photo=mine).exists()
    assert Annotation.objects.filter(photo=theirs).exists()


def test_features_come_back_as_they_were_stored(photo: Photo, script: Script) -> None:
    read(photo, reading(), script)
    features = effective(photo).features
    assert features is not None
    assert features.shape == (512,)
    assert np.allclose(features, 0.25)


def test_readings_of_another_model_do_not_count(photo: Photo, script: Script) -> None:
    read(photo, reading(), script)
    Annotation.objects.update(model="older")
    assert services.effective_readings([photo.pk]) == {}


def test_the_configured_annotator_is_one_object() -> None:
    assert get_annotator("fake") is get_annotator("fake")


def test_threads_that_ask_at_once_share_one_annotator_which_is_closed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = replace(BACKENDS["fake"], annotator="tests.annotation.slow.SlowToMake")
    monkeypatch.setitem(BACKENDS, "slow", slow)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(get_annotator, ["slow"] * 4))
    assert len(set(map(id, made))) == 1
    close_annotators()
    close_annotators()
    assert SlowToMake.closed == 1
    assert get_annotator("slow") is not made[0]
    close_annotators()


def test_the_batch_is_the_back_ends_own_unless_it_is_set(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKENDS, "fake", replace(BACKENDS["fake"], batch=64))
    assert batch_size() == 64
    settings.ANNOTATION_BATCH = 3
    assert batch_size() == 3


@pytest.mark.django_db(transaction=True)
def test_a_back_end_with_a_queue_of_its_own_is_asked_there_in_its_own_batches(
    broker: Broker,
    alice: Profile,
    make_photo: MakePhoto,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_gpu = replace(BACKENDS["fake"], queue="gpu", batch=2)
    monkeypatch.setitem(BACKENDS, "fake", on_gpu)
    photos = [make_photo(alice) for _ in range(3)]
    broker.flush_all()
    services.request([photo.pk for photo in photos])
    assert broker.queues["annotation"].qsize() == 0
    assert broker.queues["gpu"].qsize() == 2
