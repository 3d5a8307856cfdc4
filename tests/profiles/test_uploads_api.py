"""Photos and anchors over HTTP: what is taken, what is refused, what is left behind."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import ExifTags, Image
from rest_framework.test import APIClient

from profiles import services
from profiles.models import Photo, Profile
from tests.conftest import MakePerson, photo_bytes
from tests.profiles.images import encoded, heic, ihdr, png, waves

ApiAs = Callable[[Profile], APIClient]
GOOD = photo_bytes(1)


def upload(
    data: bytes, name: str = "photo.png", kind: str = "image/png"
) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data, kind)


def photos_url(person: Profile) -> str:
    return f"/v1/people/{person.pk}/photos"


def send(api: APIClient, person: Profile, data: bytes, **more: Any) -> Any:
    return api.post(photos_url(person), {"file": upload(data), **more})


def kind(answer: Any) -> str:
    assert answer["Content-Type"] == "application/problem+json"
    return str(answer.json()["type"].removeprefix("urn:twinby:problem:"))


@pytest.fixture
def nothing_left(media: Path) -> Any:
    """Checks at the end of a test that no row and no file is there."""
    yield
    assert not Photo.objects.exists()
    assert not [path for path in media.rglob("*") if path.is_file()]


# What is taken ------------------------------------------------------------------------


def test_a_photo_is_taken_and_waits_to_be_read(api_as: ApiAs, alice: Profile) -> None:
    answer = send(api_as(alice), alice, GOOD)
    assert answer.status_code == 201
    body = answer.json()
    assert {"purpose": "profile", "status": "pending", "expires_at": None}.items() <= (
        body.items()
    )
    shown = api_as(alice).get(f"/v1/photos/{body['id']}").json()
    assert (shown["reading"], shown["attributes"]) == ("pending", None)


@pytest.mark.parametrize(
    ("data", "declared"),
    [
        (encoded(waves(), "JPEG"), "image/png"),  # a wrong label is no lie of the photo
        (encoded(waves(), "WEBP"), "application/octet-stream"),
        (encoded(waves(), "AVIF"), "image/avif"),
        (heic("turned_with_gps"), ""),
    ],
)
def test_what_counts_is_the_file_not_its_label(
    api: APIClient, alice: Profile, data: bytes, declared: str
) -> None:
    file = upload(data, "../../etc/passwd", declared)
    assert api.post(photos_url(alice), {"file": file}).status_code == 201
    assert "passwd" not in str(vars(Photo.objects.get()))


def test_the_same_file_again_is_the_same_photo(api: APIClient, alice: Profile) -> None:
    first, second = send(api, alice, GOOD), send(api, alice, GOOD)
    assert second.status_code == 201
    assert first.json() == second.json()


def test_an_anchor_is_taken_for_oneself(api_as: ApiAs, alice: Profile) -> None:
    answer = api_as(alice).post("/v1/anchors", {"file": upload(GOOD)})
    assert answer.status_code == 201
    assert answer.json()["purpose"] == "anchor"
    assert answer.json()["expires_at"]


def test_a_service_says_whose_anchor_it_is(
    api: APIClient, alice: Profile, make_person: MakePerson
) -> None:
    nobody = api.post("/v1/anchors", {"file": upload(GOOD)})
    assert nobody.status_code == 400
    named = api.post("/v1/anchors", {"file": upload(GOOD), "person_id": str(alice.pk)})
    assert named.status_code == 201
    stranger = make_person(client_id=services.create_client("another app")[0].pk)
    other = {"file": upload(GOOD), "person_id": str(stranger.pk)}
    assert api.post("/v1/anchors", other).status_code == 404
    assert Photo.objects.get().owner == alice


def test_a_person_names_nobody(
    api_as: ApiAs, alice: Profile, nothing_left: None
) -> None:
    named = {"file": upload(GOOD), "person_id": str(alice.pk)}
    assert api_as(alice).post("/v1/anchors", named).status_code == 403


# What is refused ----------------------------------------------------------------------

BOMB = png(ihdr(20_000, 20_000, bits=8, colour_type=2), (b"IDAT", b"\x78\x9c"))
BAD_FILES: dict[str, tuple[bytes, int, str]] = {
    "zero bytes": (b"", 400, "empty-file"),
    "text": (b"I am a photo, honestly." * 20, 415, "not-an-image"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported-format"),
    "truncated": (GOOD[: len(GOOD) // 2], 422, "truncated-image"),
    "polyglot": (GOOD + b"PK\x03\x04" + b"x" * 100, 422, "polyglot"),
    "400 megapixels": (BOMB, 422, "image-too-large"),
    "a dot": (encoded(waves(2, 2), "PNG"), 422, "image-too-small"),
    "a gif": (encoded(waves(), "GIF"), 415, "unsupported-format"),
}


@pytest.mark.parametrize(
    ("data", "status", "problem"), BAD_FILES.values(), ids=BAD_FILES.keys()
)
def test_it_refuses_a_file_of(
    api_as: ApiAs,
    alice: Profile,
    nothing_left: None,
    *,
    data: bytes,
    status: int,
    problem: str,
) -> None:
    own = api_as(alice)
    anchor = own.post("/v1/anchors", {"file": upload(data)})
    for answer in (send(own, alice, data), anchor):
        assert answer.status_code == status
        assert kind(answer) == problem
        assert answer.json()["detail"]


def test_it_refuses_a_file_over_the_cap(
    api: APIClient, alice: Profile, settings: Any, nothing_left: None
) -> None:
    settings.PHOTO_MAX_BYTES = len(GOOD) - 1
    answer = send(api, alice, GOOD)
    assert answer.status_code == 413
    assert kind(answer) == "file-too-large"


def test_it_refuses_a_far_too_large_body_before_reading_it(
    api: APIClient, alice: Profile, settings: Any, nothing_left: None
) -> None:
    class Untouchable(BytesIO):
        def read(self, *_: Any) -> bytes:
            raise AssertionError("the body was read")

        __iter__ = readline = read  # type: ignore[assignment]

    more: Any = {"wsgi.input": Untouchable()}
    answer = api.generic(
        "POST",
        photos_url(alice),
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(10 * settings.PHOTO_MAX_BYTES),
        **more,
    )
    assert answer.status_code == 413
    assert kind(answer) == "file-too-large"


def test_it_refuses_unknown_fields(
    api: APIClient, alice: Profile, nothing_left: None
) -> None:
    answer = send(api, alice, GOOD, status="approved")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["status"]


@pytest.mark.parametrize("form", [{}, {"file": "only text"}, {"photo": "x"}])
def test_it_refuses_a_form_without_a_file(
    api: APIClient, alice: Profile, nothing_left: None, form: dict[str, str]
) -> None:
    answer = api.post(photos_url(alice), form)
    assert answer.status_code == 400
    assert answer.json()["errors"]


def test_a_name_beyond_all_reason_does_no_harm(api: APIClient, alice: Profile) -> None:
    file = upload(GOOD, "x" * 5_000 + ".png")
    assert api.post(photos_url(alice), {"file": file}).status_code == 201


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"file": "x"}', "application/json", 415),
        (GOOD, "image/png", 415),
        (b"file=x", "application/x-www-form-urlencoded", 415),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x", 400),
        (b"nonsense", "multipart/form-data", 400),
        (b"nonsense", "multipart/form-data; boundary=" + "x" * 300, 415),
    ],
)
def test_it_refuses_a_body_that_is_no_form(
    api: APIClient,
    alice: Profile,
    nothing_left: None,
    *,
    body: Any,
    content_type: str,
    status: int,
) -> None:
    answer = api.generic("POST", photos_url(alice), body, content_type=content_type)
    assert answer.status_code == status
    assert kind(answer)


def test_it_refuses_a_form_of_a_thousand_files(
    api: APIClient, alice: Profile, nothing_left: None
) -> None:
    files = {f"file{i}": upload(b"x") for i in range(1_000)}
    answer = api.post(photos_url(alice), files)
    assert answer.status_code == 400
    assert kind(answer) == "malformed-request"


def test_it_refuses_photos_without_consent(
    api: APIClient, make_person: MakePerson, nothing_left: None
) -> None:
    answer = send(api, make_person(consent=False), GOOD)
    assert answer.status_code == 403
    assert kind(answer) == "consent-required"


def test_it_refuses_one_photo_too_many(
    api: APIClient, alice: Profile, settings: Any
) -> None:
    settings.PHOTOS_PER_PERSON = 1
    assert send(api, alice, GOOD).status_code == 201
    answer = send(api, alice, photo_bytes(2))
    assert answer.status_code == 409
    assert kind(answer) == "too-many-photos"


# What is kept of it -------------------------------------------------------------------


def test_nothing_of_the_camera_is_served(api_as: ApiAs, alice: Profile) -> None:
    image, exif = waves(), Image.Exif()
    exif[ExifTags.Base.Model] = "SpyCam 3000"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (51.0, 30.0, 26.0)})
    data = encoded(image, "JPEG", exif=exif)
    assert b"SpyCam" in data
    own = api_as(alice)
    photo = own.get(f"/v1/photos/{send(own, alice, data).json()['id']}").json()
    served = APIClient().get(photo["url"]).content
    assert b"SpyCam" not in served
    with Photo.objects.get().annotation.open("rb") as file:
        read = file.read()
    for rendition in (served, read):
        assert not Image.open(BytesIO(rendition)).getexif()


def test_a_deleted_photo_is_gone(
    transactional_db: None, api_as: ApiAs, alice: Profile, nothing_left: None
) -> None:
    own = api_as(alice)
    photo = send(own, alice, GOOD).json()
    assert own.delete(f"/v1/photos/{photo['id']}").status_code == 204
    assert own.get(f"/v1/photos/{photo['id']}").status_code == 404
    assert own.delete(f"/v1/photos/{photo['id']}").status_code == 404
