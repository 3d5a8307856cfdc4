"""POST /v1/photos/process_batch: queued, done, or unknown, and nothing else."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from annotation.models import Annotation
from profiles import services
from profiles.models import Profile
from tests.conftest import MakePerson, MakePhoto

URL = "/v1/photos/process_batch"


def ask(api: APIClient, *photo_ids: Any) -> Any:
    return api.post(URL, {"photo_ids": [str(pk) for pk in photo_ids]}, format="json")


def test_every_photo_is_queued_done_or_unknown_in_the_order_given(
    api: APIClient,
    alice: Profile,
    make_photo: MakePhoto,
    work: Callable[[], None],
) -> None:
    read = make_photo(alice)
    work()
    failed, absent = make_photo(alice), uuid.uuid4()
    work()
    Annotation.objects.filter(photo=failed).update(
        status="failed", failure="off-schema"
    )
    answer = ask(api, absent, failed.pk, read.pk, failed.pk)
    assert answer.status_code == 202
    assert answer.json() == {
        "queued": [str(failed.pk)],
        "done": [str(read.pk)],
        "unknown": [str(absent)],
    }
    work()
    assert ask(api, failed.pk).json()["done"] == [str(failed.pk)]


def test_other_peoples_photos_are_unknown(
    api: APIClient,
    api_as: Callable[[Profile], APIClient],
    make_person: MakePerson,
    make_photo: MakePhoto,
) -> None:
    alice, bella = make_person(), make_person()
    stranger = make_person(client_id=services.create_client("another app")[0].pk)
    own, friends, strange = (make_photo(who) for who in (alice, bella, stranger))
    by_person = ask(api_as(alice), own.pk, friends.pk, strange.pk).json()
    assert by_person["queued"] == [str(own.pk)]
    assert by_person["unknown"] == [str(friends.pk), str(strange.pk)]
    by_service = ask(api, own.pk, friends.pk, strange.pk).json()
    assert by_service["queued"] == [str(own.pk), str(friends.pk)]
    assert by_service["unknown"] == [str(strange.pk)]


def test_photos_without_consent_are_unknown_and_stay_unread(
    api: APIClient, alice: Profile, make_photo: MakePhoto
) -> None:
    photo = make_photo(alice)
    Annotation.objects.all().delete()
    services.update_profile(alice, consent=False)
    assert ask(api, photo.pk).json()["unknown"] == [str(photo.pk)]
    assert not Annotation.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"photo_ids": []},
        {"photo_ids": ["x"]},
        {"photo_ids": str(uuid.uuid4())},
        {"photo_ids": [str(uuid.uuid4()) for _ in range(1_001)]},
        {"photo_ids": [str(uuid.uuid4())], "force": True},
    ],
)
def test_it_refuses_what_it_does_not_understand(
    api: APIClient, body: dict[str, Any]
) -> None:
    answer = api.post(URL, body, format="json")
    assert answer.status_code == 400
    assert answer.json()["errors"]
