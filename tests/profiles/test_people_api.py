"""/v1/people over HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from profiles import services
from profiles.models import Photo, Profile, years_before
from tests.conftest import MakePerson, MakePhoto

URL = "/v1/people"
DECLARED = {"birth_date": "1990-02-28", "gender": "woman", "seeking": ["woman"]}


def create(api: APIClient, **fields: Any) -> Any:
    return api.post(URL, {**DECLARED, **fields}, format="json")


def patch(api: APIClient, person: Profile, **fields: Any) -> Any:
    return api.patch(f"{URL}/{person.pk}", fields, format="json")


def kind(answer: Any) -> str:
    return str(answer.json()["type"].removeprefix("urn:twinby:problem:"))


def wrong_fields(answer: Any) -> set[str]:
    assert answer.status_code == 400, answer.content
    assert kind(answer) == "invalid-request"
    return {error["field"] for error in answer.json()["errors"]}


def test_what_is_created_can_be_got(api: APIClient) -> None:
    created = create(api, latitude=51.507351, longitude=-0.127758, smokes=False)
    assert created.status_code == 201
    answer = api.get(f"{URL}/{created.json()['id']}")
    assert answer.status_code == 200
    assert answer.json() == created.json()
    assert {
        **DECLARED,
        "sought_age_min": 18,
        "sought_age_max": 120,
        "about": "",
        "smokes": False,
        "latitude": 51.51,
        "longitude": -0.13,
        "consent": False,
        "status": "active",
        "photo_ids": [],
    }.items() <= answer.json().items()


def test_consent_is_never_assumed(api: APIClient) -> None:
    assert create(api).json()["consent"] is False
    assert create(api, consent=True).json()["consent"] is True


@pytest.mark.parametrize("field", ["birth_date", "gender", "seeking"])
def test_nobody_is_created_without(api: APIClient, field: str) -> None:
    body = {name: value for name, value in DECLARED.items() if name != field}
    assert wrong_fields(api.post(URL, body, format="json")) == {field}
    assert not Profile.objects.exists()


NONSENSE: list[tuple[str, Any]] = [
    ("birth_date", "yesterday"),
    ("birth_date", "2001-02-29"),
    ("gender", "robot"),
    ("seeking", []),
    ("seeking", "woman"),
    ("sought_age_min", 17),
    ("sought_age_max", 121),
    ("sought_age_max", 10**400),
    ("about", "x" * 2001),
    ("about", "nul \x00"),
    ("about", {"html": "<script>"}),
    ("smokes", "sometimes"),
    ("latitude", 90.01),
    ("latitude", "nan"),
    ("latitude", "inf"),
    ("longitude", 10**400),
    ("longitude", "-Infinity"),
    ("last_active_at", "soon"),
    ("last_active_at", "0001-01-01T00:00:00+14:00"),
    ("consent", None),
]


@pytest.mark.parametrize(("field", "value"), NONSENSE)
def test_it_refuses_nonsense_in(api: APIClient, field: str, value: Any) -> None:
    place = {"latitude": 1, "longitude": 1} if "itude" in field else {}
    answer = create(api, **{**place, field: value})
    assert {name.split(".")[0] for name in wrong_fields(answer)} == {field}
    assert not Profile.objects.exists()


@pytest.mark.parametrize(
    "field", ["id", "client_id", "status", "synthetic", "consented_at", "photo_ids"]
)
def test_it_refuses_fields_that_nobody_may_set(api: APIClient, field: str) -> None:
    assert wrong_fields(create(api, **{field: "x"})) == {field}


@pytest.mark.parametrize("body", [[], None, "text", 1, [DECLARED]])
def test_it_refuses_a_body_that_is_no_object(api: APIClient, body: Any) -> None:
    assert api.post(URL, body, format="json").status_code == 400


def test_it_refuses_minors(api: APIClient, alice: Profile) -> None:
    minor = years_before(timezone.localdate(), 17).isoformat()
    for answer in (create(api, birth_date=minor), patch(api, alice, birth_date=minor)):
        assert answer.status_code == 400
        assert kind(answer) == "not-adult"
    assert Profile.objects.count() == 1


def test_the_photos_listed_are_the_profiles_not_the_anchors(
    api: APIClient, alice: Profile, make_photo: MakePhoto
) -> None:
    photos = [make_photo(alice), make_photo(alice, published=False)]
    make_photo(alice, purpose=Photo.Purpose.ANCHOR)
    listed = api.get(f"{URL}/{alice.pk}").json()["photo_ids"]
    assert listed == [str(photo.pk) for photo in photos]


# Changing -----------------------------------------------------------------------------


def test_a_change_leaves_the_rest_as_it_was(
    api_as: Callable[[Profile], APIClient], make_person: MakePerson
) -> None:
    person = make_person(
        about="hello", smokes=True, sought_age_min=30, latitude=1.0, longitude=2.0
    )
    own = api_as(person)
    before = own.get(f"{URL}/{person.pk}").json()
    after = patch(own, person, about="good-bye")
    assert after.status_code == 200
    assert after.json() == {**before, "about": "good-bye"}
    assert own.get(f"{URL}/{person.pk}").json() == after.json()


def test_a_change_of_nothing_changes_nothing(api: APIClient, alice: Profile) -> None:
    before = api.get(f"{URL}/{alice.pk}").json()
    assert patch(api, alice).json() == before


@pytest.mark.parametrize(
    "field", ["id", "client_id", "synthetic", "consented_at", "abuot"]
)
def test_a_change_of_unknown_fields_is_refused(
    api: APIClient, alice: Profile, field: str
) -> None:
    assert wrong_fields(patch(api, alice, about="x", **{field: "y"})) == {field}
    alice.refresh_from_db()
    assert alice.about == ""


@pytest.mark.parametrize(("field", "value"), [*NONSENSE, ("status", "blocked")])
def test_a_change_to_nonsense_is_refused(
    api: APIClient, alice: Profile, field: str, value: Any
) -> None:
    answer = patch(api, alice, **{field: value})
    assert {name.split(".")[0] for name in wrong_fields(answer)} == {field}


def test_sought_ages_keep_their_order_against_what_is_stored(
    api: APIClient, make_person: MakePerson
) -> None:
    person = make_person(sought_age_min=30, sought_age_max=40)
    assert patch(api, person, sought_age_max=29).status_code == 400
    assert patch(api, person, sought_age_min=41).status_code == 400
    both = patch(api, person, sought_age_min=41, sought_age_max=50)
    assert both.status_code == 200
    assert patch(api, person, sought_age_max=41).status_code == 200


def test_a_place_is_given_and_taken_whole(
    api: APIClient, make_person: MakePerson
) -> None:
    person = make_person()
    assert patch(api, person, latitude=51.507351).status_code == 400
    given = patch(api, person, latitude=51.507351, longitude=-0.127758)
    assert (given.json()["latitude"], given.json()["longitude"]) == (51.51, -0.13)
    assert patch(api, person, longitude=None).status_code == 400
    taken = patch(api, person, latitude=None, longitude=None)
    assert (taken.json()["latitude"], taken.json()["longitude"]) == (None, None)


def test_consent_can_be_withdrawn_and_given_again(
    api_as: Callable[[Profile], APIClient], alice: Profile
) -> None:
    own = api_as(alice)
    assert patch(own, alice, consent=False).json()["consent"] is False
    assert not Profile.objects.annotatable().exists()
    assert patch(own, alice, consent=True).json()["consent"] is True
    assert Profile.objects.annotatable().get() == alice


def test_a_person_can_pause_and_come_back(api: APIClient, alice: Profile) -> None:
    assert patch(api, alice, status="paused").json()["status"] == "paused"
    assert patch(api, alice, status="active").json()["status"] == "active"


def test_a_blocked_person_cannot_unblock_themselves(
    api_as: Callable[[Profile], APIClient], alice: Profile
) -> None:
    services.block_profile(alice)
    answer = patch(api_as(alice), alice, status="active")
    assert answer.status_code == 403
    assert kind(answer) == "blocked"
    assert api_as(alice).get(f"{URL}/{alice.pk}").json()["status"] == "blocked"


# Erasing ------------------------------------------------------------------------------


def test_an_erased_person_is_gone(
    api: APIClient, api_as: Callable[[Profile], APIClient], alice: Profile
) -> None:
    assert api_as(alice).delete(f"{URL}/{alice.pk}").status_code == 204
    assert not Profile.objects.exists()
    assert api.get(f"{URL}/{alice.pk}").status_code == 404
    assert api.delete(f"{URL}/{alice.pk}").status_code == 404
    assert patch(api, alice, about="x").status_code == 404


def test_ids_that_are_none_are_not_found(api: APIClient) -> None:
    for path in (f"{URL}/{uuid.uuid4()}", f"{URL}/1", f"{URL}/..%2Fadmin"):
        answer = api.get(path)
        assert answer.status_code == 404
        assert answer["Content-Type"] == "application/problem+json"
