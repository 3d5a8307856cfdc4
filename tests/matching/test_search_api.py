"""POST /v1/search/visual, from upload to answer, through a real worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from matching.models import PersonVector
from profiles import services as people
from profiles.models import Gender, Photo, Profile
from tests.conftest import MakePerson, MakePhoto, photo_bytes

URL = "/v1/search/visual"


@pytest.fixture
def crowd(
    work: Callable[[], None], make_person: MakePerson, make_photo: MakePhoto
) -> list[Profile]:
    """Ten women with a published, read and indexed photo each."""
    everybody = [make_person() for _ in range(10)]
    for person in everybody:
        make_photo(person)
    work()
    return everybody


def ask(api: APIClient, alice: Profile, crowd: list[Profile], **more: Any) -> Any:
    photos = [str(person.photos.earliest("created_at").pk) for person in crowd]
    body = {
        "person_id": str(alice.pk),
        "positive_photo_ids": photos[:3],
        "negative_photo_ids": photos[3:5],
        **more,
    }
    return api.post(URL, body, format="json")


def test_it_ranks_everybody_but_the_people_in_the_given_photos(
    api: APIClient, alice: Profile, crowd: list[Profile]
) -> None:
    answer = ask(api, alice, crowd)
    assert answer.status_code == 200, answer.json()
    found = [match["user_id"] for match in answer.json()["matched_users"]]
    assert sorted(found) == sorted(str(person.pk) for person in crowd[5:])
    scores = [match["score"] for match in answer.json()["matched_users"]]
    assert scores == sorted(scores, reverse=True)


def test_contributions_sum_to_the_score(
    api: APIClient, alice: Profile, crowd: list[Profile]
) -> None:
    for match in ask(api, alice, crowd).json()["matched_users"]:
        total = sum(addend["amount"] for addend in match["contributions"])
        assert total == pytest.approx(match["score"], abs=1e-6)
        assert 0 < match["match_score"] < 1
        assert match["calibrated"] is False


def test_pages_follow_each_other_without_gap_or_overlap(
    api: APIClient, alice: Profile, crowd: list[Profile]
) -> None:
    whole = [m["user_id"] for m in ask(api, alice, crowd).json()["matched_users"]]
    paged, cursor = [], None
    while True:
        page = ask(api, alice, crowd, limit=3, cursor=cursor).json()
        paged += [match["user_id"] for match in page["matched_users"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        assert len(page["matched_users"]) == 3
    assert paged == whole


def test_a_cursor_of_another_search_is_refused(
    api: APIClient, alice: Profile, crowd: list[Profile]
) -> None:
    cursor = ask(api, alice, crowd, limit=2).json()["next_cursor"]
    other = ask(api, alice, crowd, limit=2, cursor=cursor, weights={"style": 2.0})
    assert other.status_code == 400
    assert other.json()["type"] == "urn:twinby:problem:bad-cursor"


def test_vectors_never_leave(
    api: APIClient, alice: Profile, crowd: list[Profile]
) -> None:
    answer = ask(api, alice, crowd).content.decode()
    assert "vector" not in answer
    assert "features" not in answer


def test_an_anchor_can_be_searched_by_and_is_not_found(
    api: APIClient, alice: Profile, crowd: list[Profile], work: Callable[[], None]
) -> None:
    upload = api.post("/v1/anchors", {"file": _file(99), "person_id": str(alice.pk)})
    assert upload.status_code == 201, upload.json()
    not_ready = ask(api, alice, crowd, positive_photo_ids=[upload.json()["id"]])
    if not_ready.status_code != 200:  # the worker may be quicker than we are
        assert not_ready.status_code == 409
        assert not_ready.json()["photo_ids"] == [upload.json()["id"]]
    work()
    answer = ask(api, alice, crowd, positive_photo_ids=[upload.json()["id"]])
    assert answer.status_code == 200
    assert str(alice.pk) not in answer.content.decode()
    assert not PersonVector.objects.filter(profile=alice).exists()


def test_photos_of_people_one_may_not_see_are_not_there(
    api: APIClient,
    alice: Profile,
    crowd: list[Profile],
    make_person: MakePerson,
    make_photo: MakePhoto,
    work: Callable[[], None],
) -> None:
    man = make_person(gender=Gender.MAN)
    others_anchor = make_photo(crowd[0], purpose=Photo.Purpose.ANCHOR)
    unpublished = make_photo(crowd[1], published=False)
    work()
    for photo in (make_photo(man), others_anchor, unpublished):
        answer = ask(api, alice, crowd, positive_photo_ids=[str(photo.pk)])
        assert answer.status_code == 404
        assert answer.json()["photo_ids"] == [str(photo.pk)]


def test_a_withdrawn_consent_takes_effect_at_once(
    api: APIClient, alice: Profile, crowd: list[Profile], work: Callable[[], None]
) -> None:
    gone = crowd[-1]
    people.update_profile(gone, consent=False)
    answer = ask(api, alice, crowd)
    assert str(gone.pk) not in answer.content.decode()
    work()
    assert not PersonVector.objects.filter(profile=gone).exists()
    assert not gone.photos.filter(annotations__isnull=False).exists()


@pytest.mark.parametrize(
    "broken",
    [
        {"positive_photo_ids": []},
        {"negative_photos": []},
        {"filters": {"age": 20}},
        {"filters": {"must": ["eyewear.monocle"]}},
        {"weights": {"beauty": 1}},
        {"limit": 0},
        {"limit": 100_000},
    ],
)
def test_it_refuses_what_it_does_not_understand(
    api: APIClient, alice: Profile, crowd: list[Profile], broken: dict[str, Any]
) -> None:
    answer = ask(api, alice, crowd, **broken)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"]


def test_whose_search_it_is_must_be_clear(
    api: APIClient,
    api_as: Callable[[Profile], APIClient],
    alice: Profile,
    crowd: list[Profile],
) -> None:
    photo = str(crowd[0].photos.earliest("created_at").pk)
    nobody = api.post(URL, {"positive_photo_ids": [photo]}, format="json")
    assert nobody.status_code == 400
    own = api_as(alice)
    assert ask(own, alice, crowd).status_code == 403
    own_answer = own.post(URL, {"positive_photo_ids": [photo]}, format="json")
    assert own_answer.status_code == 200


def _file(seed: int) -> Any:
    from django.core.files.uploadedfile import SimpleUploadedFile

    return SimpleUploadedFile("photo.png", photo_bytes(seed), "image/png")
