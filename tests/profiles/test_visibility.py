"""Who may be shown to whom: the gates that every reader starts from."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from profiles import services
from profiles.examples import owners_of_usable
from profiles.models import Client, Gender, Photo, Profile, years_before
from tests.conftest import MakePerson, MakePhoto

ANY_DAY = st.dates(dt.date(1900, 1, 1), dt.date(2100, 12, 31))


@pytest.fixture
def shown(make_person: MakePerson, make_photo: MakePhoto) -> Callable[..., Profile]:
    """A person with a published photo."""

    def make(**fields: Any) -> Profile:
        person = make_person(**fields)
        make_photo(person)
        return person

    return make


def sees(viewer: Profile, other: Profile) -> bool:
    viewer.refresh_from_db()
    return Profile.objects.visible_to(viewer).filter(pk=other.pk).exists()


def born(years: int, *, days_ago: int = 0) -> dt.date:
    """The birthday of somebody who turned `years` so many days ago."""
    return years_before(timezone.localdate() - dt.timedelta(days=days_ago), years)


def test_two_who_seek_each_other_see_each_other(
    shown: Callable[..., Profile],
) -> None:
    alice, bella = shown(), shown()
    assert sees(alice, bella)
    assert sees(bella, alice)


def test_nobody_sees_themselves(shown: Callable[..., Profile]) -> None:
    alice = shown()
    assert not sees(alice, alice)


@pytest.mark.parametrize(
    ("gender", "seeking"),
    [
        (Gender.MAN, [Gender.WOMAN]),  # she does not seek him
        (Gender.WOMAN, [Gender.MAN]),  # the other does not seek her
        (Gender.NONBINARY, [Gender.MAN]),
    ],
)
def test_seeking_must_be_mutual(
    shown: Callable[..., Profile], gender: Gender, seeking: list[Gender]
) -> None:
    alice, other = shown(), shown(gender=gender, seeking=seeking)
    assert not sees(alice, other)
    assert not sees(other, alice)


def test_somebody_may_seek_several_genders(shown: Callable[..., Profile]) -> None:
    alice = shown(seeking=list(Gender))
    for gender in Gender:
        assert sees(alice, shown(gender=gender, seeking=[Gender.WOMAN]))


@pytest.mark.parametrize(
    ("age", "days_ago", "visible"),
    [
        (25, 0, True),  # turns 25 today
        (25, -1, False),  # tomorrow
        (31, -1, True),  # still 30 today
        (31, 0, False),
    ],
)
def test_the_sought_ages_include_both_ends_by_the_day(
    shown: Callable[..., Profile], *, age: int, days_ago: int, visible: bool
) -> None:
    alice = shown(sought_age_min=25, sought_age_max=30)
    assert sees(alice, shown(birth_date=born(age, days_ago=days_ago))) is visible


@pytest.mark.parametrize(("oldest", "visible"), [(29, False), (30, True)])
def test_the_sought_ages_bind_the_other_side_too(
    shown: Callable[..., Profile], *, oldest: int, visible: bool
) -> None:
    alice = shown(birth_date=born(30))
    assert sees(alice, shown(sought_age_max=oldest)) is visible


@given(birth=ANY_DAY, today=ANY_DAY, age=st.integers(0, 120))
def test_the_filter_by_birth_date_is_the_age_in_years(
    birth: dt.date, today: dt.date, age: int
) -> None:
    """29 February included: the SQL's bounds and `Profile.age` never disagree."""
    within = years_before(today, age + 1) < birth <= years_before(today, age)
    assert within == (Profile(birth_date=birth).age(on=today) == age)


@pytest.mark.parametrize(
    ("today", "age"),
    [
        (dt.date(2022, 2, 28), 17),
        (dt.date(2022, 3, 1), 18),
        (dt.date(2024, 2, 28), 19),
        (dt.date(2024, 2, 29), 20),
    ],
)
def test_a_leap_day_child_turns_older_in_march_of_common_years(
    client_app: Client, today: dt.date, age: int
) -> None:
    leap = Profile.objects.create(
        client=client_app,
        birth_date=dt.date(2004, 2, 29),
        gender=Gender.WOMAN,
        seeking=[Gender.WOMAN],
    )
    assert leap.age(on=today) == age
    assert Profile.objects.aged(age, age, on=today).get() == leap


@pytest.mark.parametrize("status", [Profile.Status.PAUSED, Profile.Status.BLOCKED])
def test_only_active_people_are_shown(
    shown: Callable[..., Profile], status: Profile.Status
) -> None:
    alice, bella = shown(), shown()
    Profile.objects.filter(pk=bella.pk).update(status=status)
    assert not sees(alice, bella)


def test_a_blocked_person_is_shown_nobody(shown: Callable[..., Profile]) -> None:
    alice, bella = shown(), shown()
    services.block_profile(alice)
    assert not sees(alice, bella)


def test_nobody_is_shown_without_consent(shown: Callable[..., Profile]) -> None:
    alice, bella = shown(), shown()
    services.update_profile(bella, consent=False)
    assert not sees(alice, bella)


def test_nobody_is_shown_without_a_published_photo(
    shown: Callable[..., Profile], make_person: MakePerson, make_photo: MakePhoto
) -> None:
    alice, bella = shown(), make_person()
    assert not sees(alice, bella)
    make_photo(bella, purpose=Photo.Purpose.ANCHOR)
    photo = make_photo(bella, published=False)
    assert not sees(alice, bella)
    services.approve(photo.pk, source=Photo.ApprovalSource.MODERATOR)
    assert sees(alice, bella)
    services.reject(photo.pk, reason="not a person")
    assert not sees(alice, bella)


def test_an_approved_anchor_does_not_make_its_owner_visible(
    shown: Callable[..., Profile], make_person: MakePerson, make_photo: MakePhoto
) -> None:
    bella = make_person()
    anchor = make_photo(bella, purpose=Photo.Purpose.ANCHOR)
    services.approve(anchor.pk, source=Photo.ApprovalSource.GATES)
    assert not sees(shown(), bella)


def test_clients_do_not_share_their_people(shown: Callable[..., Profile]) -> None:
    other_app = services.create_client("another app")[0]
    assert not sees(shown(), shown(client_id=other_app.pk))


# Photos to search by ------------------------------------------------------------------


def usable(viewer: Profile, photo: Photo) -> bool:
    """By the rule, and by the statement that searches ask: they must agree."""
    by_rule = Photo.objects.usable_as_example(viewer).filter(pk=photo.pk).exists()
    owners = owners_of_usable(viewer, [photo.pk])
    assert owners == ({photo.pk: photo.owner_id} if by_rule else {})
    return by_rule


def test_published_photos_of_visible_people_can_be_searched_by(
    shown: Callable[..., Profile], make_photo: MakePhoto
) -> None:
    alice, bella = shown(), shown()
    stranger = shown(gender=Gender.MAN)
    assert usable(alice, make_photo(bella))
    assert not usable(alice, make_photo(bella, published=False))
    assert not usable(alice, make_photo(stranger))
    assert not usable(alice, make_photo(alice))  # nobody searches by themselves


def test_anchors_serve_their_owner_alone(
    shown: Callable[..., Profile], make_photo: MakePhoto
) -> None:
    alice, bella = shown(), shown()
    anchor = make_photo(alice, purpose=Photo.Purpose.ANCHOR)
    assert usable(alice, anchor)
    assert not usable(bella, anchor)


def test_an_anchor_serves_until_it_expires(
    shown: Callable[..., Profile], make_photo: MakePhoto
) -> None:
    alice = shown()
    anchor = make_photo(alice, purpose=Photo.Purpose.ANCHOR)
    Photo.objects.filter(pk=anchor.pk).update(expires_at=timezone.now())
    assert not usable(alice, anchor)


@pytest.mark.parametrize("withdraw", [services.quarantine, services.reject])
def test_a_refused_anchor_serves_nobody(
    shown: Callable[..., Profile], make_photo: MakePhoto, withdraw: Callable[..., bool]
) -> None:
    alice = shown()
    anchor = make_photo(alice, purpose=Photo.Purpose.ANCHOR)
    withdraw(anchor.pk, reason="failed: nudity")
    assert not usable(alice, anchor)


def anybody(rng: random.Random, clients: list[Client]) -> Profile:
    """Somebody whose fields are each likely to pass, and none of them certain to."""
    youngest = rng.choice([18, 18, 30])
    return Profile.objects.create(
        client=rng.choice(clients),
        birth_date=born(rng.choice([18, 29, 30, 31]), days_ago=rng.choice([-1, 0, 1])),
        gender=rng.choice(list(Gender)),
        seeking=rng.sample(list(Gender), rng.choice([1, 2, 3, 3])),
        sought_age_min=youngest,
        sought_age_max=rng.choice([youngest, 31, 120]),
        consented_at=rng.choice([None, *[timezone.now()] * 4]),
        status=rng.choice([*Profile.Status, *[Profile.Status.ACTIVE] * 4]),
    )


def any_photo(rng: random.Random, owner: Profile, number: int) -> Photo:
    purpose = rng.choice(list(Photo.Purpose))
    is_anchor = purpose == Photo.Purpose.ANCHOR
    hours = dt.timedelta(hours=rng.choice([-1, 1]))
    return Photo.objects.create(
        owner=owner,
        purpose=purpose,
        status=rng.choice([*Photo.Status, Photo.Status.APPROVED]),
        expires_at=timezone.now() + hours if is_anchor else None,
        sha256=f"{number:064x}",
        dhash="0" * 64,
        width=1,
        height=1,
    )


@pytest.mark.parametrize("seed", range(4))
def test_what_searches_ask_agrees_with_the_rule_on_anybody(
    seed: int, client_app: Client
) -> None:
    rng = random.Random(seed)  # noqa: S311 - no secret
    clients = [client_app] * 4 + [services.create_client("another app")[0]]
    everybody = [anybody(rng, clients) for _ in range(60)]
    photos = [any_photo(rng, one, n) for one in everybody for n in range(4)]
    for one in everybody:
        one.avoided.set(rng.sample(everybody, 8))
    found = 0
    for viewer in everybody:
        by_rule = Photo.objects.usable_as_example(viewer)
        owners = owners_of_usable(viewer, [photo.pk for photo in photos])
        assert owners == dict(by_rule.values_list("pk", "owner_id"))
        found += len(owners.keys() - {p.pk for p in photos if p.owner == viewer})
    assert found  # others' photos too


def test_nobody_reads_photos_without_consent_or_of_the_blocked(
    make_person: MakePerson,
) -> None:
    willing, unwilling, blocked = (
        make_person(),
        make_person(consent=False),
        make_person(),
    )
    services.block_profile(blocked)
    paused = make_person(status=Profile.Status.PAUSED)
    readable = set(Profile.objects.annotatable())
    assert readable == {willing, paused}
    assert unwilling not in readable


# What the database itself refuses -----------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seeking", []),
        ("sought_age_min", 17),
        ("sought_age_max", 121),
        ("sought_age_max", 18),  # with a minimum of 30
        ("latitude", 51.5),  # without a longitude
        ("latitude", 91),
    ],
)
def test_the_database_refuses_people_who_cannot_be(
    make_person: MakePerson, field: str, value: Any
) -> None:
    person = make_person(sought_age_min=30)
    if value == 91:
        Profile.objects.filter(pk=person.pk).update(latitude=0, longitude=0)
    with pytest.raises(IntegrityError), transaction.atomic():
        Profile.objects.filter(pk=person.pk).update(**{field: value})


def test_the_database_lets_only_anchors_expire_and_every_one(
    make_person: MakePerson, make_photo: MakePhoto
) -> None:
    person = make_person()
    photo, anchor = make_photo(person), make_photo(person, purpose=Photo.Purpose.ANCHOR)
    with pytest.raises(IntegrityError), transaction.atomic():
        Photo.objects.filter(pk=photo.pk).update(expires_at=timezone.now())
    with pytest.raises(IntegrityError), transaction.atomic():
        Photo.objects.filter(pk=anchor.pk).update(expires_at=None)


def test_the_database_holds_a_photo_once_per_owner_and_purpose(
    make_person: MakePerson, make_photo: MakePhoto
) -> None:
    person = make_person()
    first, second = make_photo(person), make_photo(person)
    with pytest.raises(IntegrityError), transaction.atomic():
        Photo.objects.filter(pk=second.pk).update(sha256=first.sha256)
