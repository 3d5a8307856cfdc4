"""Links to pictures: no token, a ticket of one's own, and only as long as it may be."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.signing import TimestampSigner
from django.urls import set_script_prefix
from django.utils import timezone
from rest_framework.test import APIClient

from profiles import links, services, storage
from profiles.models import Gender, Photo, Profile
from tests.conftest import MakePerson, MakePhoto


@pytest.fixture
def bella(make_person: MakePerson) -> Profile:
    return make_person()


@pytest.fixture
def photo(bella: Profile, make_photo: MakePhoto) -> Photo:
    """A published photo of Bella's."""
    return make_photo(bella)


def get(link: str, accept: str = "*/*") -> Any:
    return APIClient().get(link, HTTP_ACCEPT=accept)


def opens(photo: Photo, viewer: Profile | None = None) -> bool:
    viewer_id = viewer.pk if viewer else photo.owner_id
    return bool(get(links.photo_path(photo.pk, viewer_id=viewer_id)).status_code == 200)


def test_a_link_needs_no_token_and_its_picture_is_stored_nowhere(
    alice: Profile, photo: Photo
) -> None:
    answer = get(links.photo_path(photo.pk, viewer_id=alice.pk))
    assert answer.status_code == 200
    assert answer["Content-Type"] == "image/webp"
    assert answer["Cache-Control"] == "private, no-store"
    assert answer["X-Content-Type-Options"] == "nosniff"
    with photo.display.open("rb") as file:
        assert answer.content == file.read()


def test_the_link_of_an_answer_is_absolute(
    alice: Profile, photo: Photo, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://photos.example/"
    link = links.photo_url(photo.pk, viewer_id=alice.pk)
    assert link.startswith(f"https://photos.example/v1/photos/{photo.pk}/image?ticket=")


def test_a_link_lies_where_the_application_does(alice: Profile, photo: Photo) -> None:
    try:
        for prefix in ("/dating/", "/"):
            set_script_prefix(prefix)
            link = links.photo_path(photo.pk, viewer_id=alice.pk)
            assert link.startswith(f"{prefix}v1/photos/{photo.pk}/image?ticket=")
    finally:
        set_script_prefix("/")


@pytest.mark.parametrize("accept", ["image/webp", "image/*", "text/html", "*/*"])
def test_a_picture_is_sent_whatever_is_accepted(photo: Photo, accept: str) -> None:
    link = links.photo_path(photo.pk, viewer_id=photo.owner_id)
    assert get(link, accept).status_code == 200


@pytest.mark.parametrize(
    "ticket", ["", "x", "x:y:z", "é", "\x00", "W10:1:1", "x" * 10_000]
)
def test_nothing_opens_without_a_true_ticket(photo: Photo, ticket: str) -> None:
    answer = APIClient().get(f"/v1/photos/{photo.pk}/image", {"ticket": ticket})
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"


def test_a_ticket_of_another_kind_opens_nothing(alice: Profile, photo: Photo) -> None:
    forged = TimestampSigner(salt="elsewhere").sign_object(
        [str(photo.pk), str(alice.pk)]
    )
    answer = APIClient().get(f"/v1/photos/{photo.pk}/image", {"ticket": forged})
    assert answer.status_code == 404


def test_a_ticket_opens_its_own_photo_only(
    alice: Profile, bella: Profile, photo: Photo, make_photo: MakePhoto
) -> None:
    other = make_photo(bella)
    link = links.photo_path(photo.pk, viewer_id=alice.pk)
    assert get(link.replace(str(photo.pk), str(other.pk))).status_code == 404


def test_a_link_expires(
    alice: Profile, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = links.photo_path(photo.pk, viewer_id=alice.pk)
    now = timezone.now().timestamp()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 899)
    assert get(link).status_code == 200
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 902)
    assert get(link).status_code == 404


def test_a_link_says_nothing_of_its_viewer_that_is_no_id(
    alice: Profile, photo: Photo
) -> None:
    link = links.photo_path(photo.pk, viewer_id=alice.pk)
    assert re.fullmatch(r"/v1/photos/[0-9a-f-]{36}/image\?ticket=[\w.:%-]+", link)


# A link shows what may still be shown -------------------------------------------------

Change = Callable[[Profile, Profile, Photo], Any]
WITHDRAWALS: dict[str, Change] = {
    "is rejected": lambda _a, _b, photo: services.reject(photo.pk, reason="no"),
    "is back in the queue": lambda _a, _b, photo: Photo.objects.update(
        status=Photo.Status.PENDING
    ),
    "is deleted": lambda _a, _b, photo: services.delete_photo(
        Photo.objects.get(pk=photo.pk)
    ),
    "loses its owner": lambda _a, bella, _p: services.erase_profile(
        Profile.objects.get(pk=bella.pk)
    ),
    "loses its owner's consent": lambda _a, bella, _p: services.update_profile(
        bella, consent=False
    ),
    "is of somebody blocked": lambda _a, bella, _p: services.block_profile(bella),
    "is of somebody who pauses": lambda _a, bella, _p: services.update_profile(
        bella, status=Profile.Status.PAUSED
    ),
    "is of somebody who seeks others": lambda _a, bella, _p: services.update_profile(
        bella, seeking=[Gender.MAN]
    ),
    "was for somebody blocked": lambda alice, _b, _p: services.block_profile(alice),
    "was for somebody erased": lambda alice, _b, _p: services.erase_profile(
        Profile.objects.get(pk=alice.pk)
    ),
}


@pytest.mark.parametrize("withdraw", WITHDRAWALS.values(), ids=WITHDRAWALS.keys())
def test_a_link_is_dead_once_the_photo(
    alice: Profile, bella: Profile, photo: Photo, withdraw: Change
) -> None:
    assert opens(photo, alice)
    withdraw(alice, bella, photo)
    assert not opens(photo, alice)


def test_an_owner_sees_their_own_whatever_its_state(
    bella: Profile, make_photo: MakePhoto
) -> None:
    photo = make_photo(bella, published=False)
    anchor = make_photo(bella, purpose=Photo.Purpose.ANCHOR)
    services.quarantine(photo.pk, reason="failed: quality")
    assert opens(photo)
    assert opens(anchor)


def test_nobody_sees_anothers_anchor(
    alice: Profile, bella: Profile, photo: Photo, make_photo: MakePhoto
) -> None:
    anchor = make_photo(bella, purpose=Photo.Purpose.ANCHOR)
    Photo.objects.filter(pk=anchor.pk).update(status=Photo.Status.APPROVED)
    assert opens(photo, alice)
    assert not opens(anchor, alice)


def test_a_photo_whose_file_is_gone_is_not_found(alice: Profile, photo: Photo) -> None:
    storage.remove([photo.pk])
    assert not opens(photo, alice)


def test_a_ticket_of_nobody_opens_nothing(photo: Photo) -> None:
    link = links.photo_path(photo.pk, viewer_id=uuid.uuid4())
    assert get(link).status_code == 404


def test_links_live_minutes(settings: Any) -> None:
    assert dt.timedelta(seconds=settings.PHOTO_LINK_SECONDS) <= dt.timedelta(hours=1)
