"""A person's place in the index follows everything that decides how they are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from dramatiq import Broker

from annotation import backends
from annotation import services as annotation
from annotation.backends.base import AnnotatorVersion
from annotation.backends.fake import FakeAnnotator
from annotation.models import Annotation
from annotation.schema import NOT_VISIBLE
from matching import services, spaces
from matching.features import BLOCKS, pack, person_features, unpack
from matching.models import PersonVector, Space
from matching.population import neutral_space
from matching.services import indexing
from profiles import services as people
from profiles.models import Photo, Profile
from tests.conftest import MakePerson, MakePhoto
from twinby.errors import UnavailableError

Work = Callable[[], None]
Unheard = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def bob(alice: Profile, make_person: MakePerson) -> Profile:
    return make_person()


@pytest.fixture
def unheard(broker: Broker) -> Unheard:
    """What is done within it is done, but no worker ever hears of it."""

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("the queue does not answer")

    @contextmanager
    def queue_is_down() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(broker, "enqueue", refuse)
            yield

    return queue_is_down


def vector_of(person: Profile) -> PersonVector | None:
    space = spaces.active_space()
    return PersonVector.objects.filter(profile=person, space=space).first()


def test_an_approved_and_read_photo_puts_its_owner_in_the_index(
    work: Work, bob: Profile, make_photo: MakePhoto
) -> None:
    photo = make_photo(bob, published=False)
    work()
    assert vector_of(bob) is None
    people.approve(photo.pk, source=Photo.ApprovalSource.MODERATOR)
    work()
    row = vector_of(bob)
    assert row is not None
    space = spaces.feature_space(spaces.active_space())
    seen = spaces.sightings_in(space, [photo.pk])
    expected = pack(space, person_features(space, [seen[photo.pk]]))
    assert np.array_equal(np.asarray(row.vector, np.float16), expected)


@pytest.mark.parametrize(
    "leave",
    [
        lambda person, photo: people.reject(photo.pk, reason="blurred"),
        lambda person, photo: people.quarantine(photo.pk, reason="failed: adults"),
        lambda person, photo: people.delete_photo(photo),
        lambda person, photo: people.update_profile(person, consent=False),
        lambda person, photo: people.update_profile(person, status="paused"),
        lambda person, photo: people.block_profile(person),
        lambda person, photo: people.erase_profile(person),
    ],
)
def test_who_may_no_longer_be_found_leaves_the_index(
    work: Work,
    bob: Profile,
    make_photo: MakePhoto,
    leave: Callable[[Profile, Photo], object],
) -> None:
    photo = make_photo(bob, published=False)
    people.approve(photo.pk, source=Photo.ApprovalSource.GATES)
    work()
    assert vector_of(bob) is not None
    leave(bob, photo)
    work()
    assert not PersonVector.objects.exists()


def test_who_pauses_and_comes_back_is_indexed_again(
    work: Work, bob: Profile, make_photo: MakePhoto
) -> None:
    make_photo(bob)
    people.update_profile(bob, status="paused")
    work()
    people.update_profile(bob, status="active")
    work()
    assert vector_of(bob) is not None


def test_consent_given_again_has_the_photos_read_again(
    work: Work, bob: Profile, make_photo: MakePhoto
) -> None:
    make_photo(bob)
    work()
    people.update_profile(bob, consent=False)
    work()
    assert not Annotation.objects.filter(photo__owner=bob).exists()
    people.update_profile(bob, consent=True)
    work()
    assert vector_of(bob) is not None


def test_a_correction_moves_the_person(
    work: Work, bob: Profile, make_photo: MakePhoto, django_user_model: type[User]
) -> None:
    photo = make_photo(bob)
    work()
    moderator = django_user_model.objects.create_user("moderator")
    annotation.correct(
        photo,
        attribute="hair_color",
        values=["red"],
        reason="it is red",
        moderator=moderator,
    )
    work()
    row = vector_of(bob)
    assert row is not None
    assert row.presence["hair_color.red"] == 1.0


def test_features_of_another_model_count_as_unseen(
    work: Work, bob: Profile, make_photo: MakePhoto
) -> None:
    photo = make_photo(bob)
    work()

    def embedding(model: str, projection: str = "identity") -> object:
        seen = spaces.sightings([photo.pk], model=model, projection=projection)
        return seen[photo.pk].embedding

    assert embedding("fake:fake-1") is not None
    assert embedding("fake:fake-2") is None
    assert embedding("fake:fake-1", "untrained-orthonormal-768") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda photo: annotation.correct(
            photo,
            attribute="hair_color",
            values=["red"],
            reason="it is",
            moderator=None,
        ),
        lambda photo: people.update_profile(photo.owner, status="paused"),
        lambda photo: people.reject(photo.pk, reason="blurred"),
        lambda photo: PersonVector.objects.all().delete(),
        lambda photo: people.delete_photo(photo),
        lambda photo: people.reject(photo.owner.photos.latest("pk").pk, reason="dark"),
    ],
)
def test_the_sweep_does_what_a_lost_message_left_undone(
    work: Work,
    unheard: Unheard,
    bob: Profile,
    make_photo: MakePhoto,
    change: Callable[[Photo], object],
) -> None:
    photo = make_photo(bob)
    make_photo(bob)
    work()
    assert services.sweep(limit=10) == 0
    with unheard():
        change(photo)
    assert services.sweep(limit=10) == 1
    assert services.sweep(limit=10) == 0


def test_the_sweep_finds_whose_photo_took_the_place_of_another(
    work: Work, unheard: Unheard, bob: Profile, make_photo: MakePhoto
) -> None:
    shown, waiting = make_photo(bob), make_photo(bob)
    work()
    people.reject(waiting.pk, reason="dark")
    work()
    with unheard():  # as many photos as before
        people.approve(waiting.pk, source=Photo.ApprovalSource.MODERATOR)
        people.reject(shown.pk, reason="dark")
    assert services.sweep(limit=10) == 1
    assert services.sweep(limit=10) == 0


@pytest.fixture
def unindexed(
    work: Work, make_person: MakePerson, make_photo: MakePhoto
) -> list[Profile]:
    """People the sweep has yet to index, in the order in which it comes to them."""
    for _ in range(3):
        make_photo(make_person())
    work()
    PersonVector.objects.all().delete()
    return list(Profile.objects.order_by("pk"))


def fail_for(
    person: Profile, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = indexing._entry

    def fail(frame: object, whom: Profile, seen: object) -> object:
        if whom == person:
            raise error
        return entry(frame, whom, seen)  # type: ignore[arg-type]

    monkeypatch.setattr(indexing, "_entry", fail)


def test_one_whom_the_sweep_cannot_index_keeps_nobody_behind_them_out(
    unindexed: list[Profile],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = unindexed[0]
    fail_for(first, ValueError(str(first.pk)), monkeypatch)
    assert services.sweep(limit=10) == 2
    assert [vector_of(person) is not None for person in unindexed] == [
        False,
        True,
        True,
    ]
    assert "People could not be indexed: {'ValueError': 1}" in caplog.messages
    assert str(first.pk) not in caplog.text


def test_a_database_that_fails_ends_the_sweep(
    unindexed: list[Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_for(unindexed[0], OperationalError("the server is gone"), monkeypatch)
    with pytest.raises(OperationalError):
        services.sweep(limit=10)
    assert not PersonVector.objects.exists()


def test_a_new_space_is_filled_beside_the_old_one_and_then_takes_over(
    work: Work, bob: Profile, make_photo: MakePhoto
) -> None:
    make_photo(bob)
    work()
    before = spaces.active_space()
    after = services.fit_feature_space()
    assert spaces.active_space() == after != before
    assert vector_of(bob) is not None
    before.refresh_from_db()
    assert before.status == Space.Status.RETIRED
    assert before.vectors.exists()  # the way back
    services.fit_feature_space()
    assert Space.objects.filter(status=Space.Status.ACTIVE).count() == 1


def switch_annotator(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """From now on another version's readings are the active ones."""
    version = AnnotatorVersion(backend="fake", model=model)
    fake = backends.Backend(backends.BACKENDS["fake"].annotator, lambda: version)
    monkeypatch.setitem(backends.BACKENDS, "fake", fake)
    monkeypatch.setattr(FakeAnnotator, "version", version)


def test_a_search_stays_in_its_space_while_photos_are_read_anew(
    work: Work,
    bob: Profile,
    make_photo: MakePhoto,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photo = make_photo(bob)
    work()
    before = vector_of(bob)
    assert before is not None
    switch_annotator(monkeypatch, "fake-2")
    assert services.sweep() == 0
    annotation.request([photo.pk])
    work()
    after = vector_of(bob)
    assert after is not None
    assert np.array_equal(after.vector, before.vector)
    fitted = services.fit_feature_space()
    assert spaces.feature_space(fitted).model == "fake:fake-2"
    assert vector_of(bob) is not None


def test_a_space_that_would_lose_people_does_not_take_over(
    work: Work,
    bob: Profile,
    make_photo: MakePhoto,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_photo(bob)
    work()
    before = spaces.active_space()
    switch_annotator(monkeypatch, "fake-2")  # which has read nobody
    with pytest.raises(CommandError, match=r"Only 0 of the 1 people .* annotate first"):
        call_command("fitfeaturespace")
    assert spaces.active_space() == before
    assert vector_of(bob) is not None
    assert [space.pk for space in spaces.live_spaces()] == [before.pk]
    call_command("fitfeaturespace", fewer=True)
    assert spaces.active_space() != before


def test_a_space_of_another_schema_is_unavailable_not_a_crash(
    bob: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = spaces.active_space()
    content = Space.objects.get(pk=space.pk).content | {"schema_version": "s-older"}
    Space.objects.filter(pk=space.pk).update(content=content, version="older")
    with pytest.raises(UnavailableError) as refusal:
        spaces.feature_space(spaces.active_space())
    assert refusal.value.problem_kind == "space-outdated"
    services.reindex([bob.pk])
    services.fit_feature_space()
    assert spaces.feature_space(spaces.active_space())


def test_no_vector_of_a_hidden_person_stays_in_any_space(
    work: Work, bob: Profile, make_photo: MakePhoto
) -> None:
    make_photo(bob)
    make_photo(bob)
    work()
    services.fit_feature_space()
    assert PersonVector.objects.filter(profile=bob).count() == 2
    people.update_profile(bob, consent=False)
    work()
    assert not PersonVector.objects.exists()


def test_the_first_search_founds_a_neutral_space(db: None) -> None:
    assert not Space.objects.exists()
    space = spaces.active_space()
    assert space.version == neutral_space(model="fake:fake-1").version
    assert spaces.active_space() == space


def test_what_is_not_seen_adds_nothing(
    work: Work, bob: Profile, make_photo: MakePhoto
) -> None:
    photo = make_photo(bob)
    work()
    annotation.correct(
        photo,
        attribute="eyewear",
        values=[NOT_VISIBLE],
        reason="cropped",
        moderator=None,
    )
    work()
    row = vector_of(bob)
    assert row is not None
    assert "eyewear.glasses" not in row.presence
    reading = annotation.effective_readings([photo.pk])[photo.pk]
    assert reading.attributes["eyewear"][NOT_VISIBLE] == 1.0
    assert not unpack(row.vector)[BLOCKS["eyewear"]].any()


def test_vectors_are_stored_in_their_rows(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attstorage FROM pg_attribute WHERE attname = 'vector'"
            " AND attrelid = 'matching_personvector'::regclass"
        )
        assert cursor.fetchone() == ("p",)
