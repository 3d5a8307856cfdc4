"""POST /v1/search/visual, from upload to answer, through a real worker."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from annotation.models import Annotation
from matching import paging
from matching.models import Impression, MatchCalibration, PersonVector
from matching.preference import METHODS, sigmoid
from matching.ranking.stages import STAGES
from profiles import services as people
from profiles.models import Gender, Photo, Profile
from tests.conftest import MakePerson, MakePhoto, photo_bytes
from tests.matching.people import say

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


def test_a_calibrated_match_score_is_told_and_moves_nobody(
    api: APIClient, alice: Profile, crowd: list[Profile], settings: Any
) -> None:
    settings.RANKING = dict.fromkeys(STAGES, 0.0)
    before = ask(api, alice, crowd).json()["matched_users"]
    content = {"method": "platt", "slope": 0.5, "intercept": -1.0}
    MatchCalibration.objects.create(version="c-test", content=content, is_active=True)
    after = ask(api, alice, crowd).json()["matched_users"]
    for one, other in zip(before, after, strict=True):
        assert other["user_id"] == one["user_id"]
        assert other["score"] == one["score"]
        assert other["calibrated"] is True
        told = sigmoid(np.array(0.5 * one["score"] - 1.0))
        assert other["match_score"] == pytest.approx(float(told))


def test_groups_sum_to_the_score(
    api: APIClient, alice: Profile, crowd: list[Profile]
) -> None:
    for match in ask(api, alice, crowd).json()["matched_users"]:
        groups = {group["name"]: group["amount"] for group in match["groups"]}
        assert {"appearance", "style", "context", "visual", "prior"} <= groups.keys()
        assert sum(groups.values()) == pytest.approx(match["score"], abs=1e-6)


def test_a_contribution_names_the_photos_that_bring_it(
    api: APIClient, alice: Profile, crowd: list[Profile]
) -> None:
    for match in ask(api, alice, crowd).json()["matched_users"]:
        for told in match["contributions"]:
            assert set(told["liked_photos"]) <= {1, 2, 3}
            assert set(told["disliked_photos"]) <= {1, 2}
            if told["source"] in {"attribute", "visual"}:
                assert told["liked_photos"] or told["disliked_photos"]


@pytest.mark.parametrize(
    ("asked", "language", "seems"),
    [
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru", "Похоже, вам"),
        ("ko", "ko", "것 같아요: "),
        ("de", "en", "You seem to "),
        ("", "en", "You seem to "),
    ],
)
def test_it_answers_in_the_language_that_is_asked_for(
    api: APIClient,
    alice: Profile,
    crowd: list[Profile],
    asked: str,
    language: str,
    seems: str,
) -> None:
    photos = [str(person.photos.earliest("created_at").pk) for person in crowd]
    body = {"person_id": str(alice.pk), "positive_photo_ids": photos[:1]}
    headers = {"accept-language": asked} if asked else {}
    answer = api.post(URL, body, format="json", headers=headers)
    assert seems in answer.json()["query"]["sentence"]
    assert answer["Content-Language"] == language
    assert "Accept-Language" in answer["Vary"]
    refused = api.post(URL, {}, format="json", headers=headers)
    assert "Content-Language" not in refused  # problems are said in English


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


def test_what_feedback_taught_joins_in_and_shuffles_no_page_that_was_begun(
    api: APIClient, alice: Profile, crowd: list[Profile]
) -> None:
    strange = ask(api, alice, crowd).json()
    say(alice, "like", crowd[9])
    whole = ask(api, alice, crowd).json()
    assert (strange["query"]["prior"], whole["query"]["prior"]) == (
        "cold",
        "cold+feedback",
    )
    assert scores(whole)[str(crowd[9].pk)] > scores(strange)[str(crowd[9].pk)]
    first = ask(api, alice, crowd, limit=3).json()
    say(alice, "super_like", crowd[8])
    second = ask(api, alice, crowd, limit=3, cursor=first["next_cursor"]).json()
    assert scores(first) | scores(second) == pytest.approx(scores(whole))


def scores(answer: Any) -> dict[str, float]:
    return {match["user_id"]: match["score"] for match in answer["matched_users"]}


def liking(api: APIClient, alice: Profile, crowd: list[Profile], **more: Any) -> Any:
    """Who is liked how much, and by which method, as it was logged."""
    answer = ask(api, alice, crowd, **more).json()
    logged = Impression.objects.filter(page_id=answer["page_id"])
    (method,) = set(logged.values_list("method", flat=True))
    return method, dict(logged.values_list("person_id", "preference"))


def test_a_search_learns_by_the_method_that_is_asked_for(
    api: APIClient, alice: Profile, crowd: list[Profile]
) -> None:
    found = {name: liking(api, alice, crowd, method=name) for name in METHODS}
    assert [method for method, _ in found.values()] == list(METHODS)
    assert liking(api, alice, crowd) == found["bayesian"]
    people = crowd[5:]
    orders = {tuple(by[person.pk] for person in people) for _, by in found.values()}
    assert len(orders) == len(METHODS)


def test_an_arm_that_is_called_like_a_method_searches_by_it(
    api: APIClient, alice: Profile, crowd: list[Profile], settings: Any
) -> None:
    plain = liking(api, alice, crowd, method="plain")
    settings.EXPERIMENT = "try: plain=1"
    assert liking(api, alice, crowd) == plain
    assert liking(api, alice, crowd, method="bayesian")[0] == "bayesian"
    settings.EXPERIMENT = "try: another=1"
    assert liking(api, alice, crowd)[0] == "bayesian"


def test_who_is_like_any_liked_photo_is_found_by_best_score(
    api: APIClient,
    alice: Profile,
    crowd: list[Profile],
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> None:
    settings.RANKING = dict.fromkeys(STAGES, 0.0)
    monkeypatch.setattr(paging, "WINDOW", 1)
    for turn in range(3):
        turned = crowd[turn:3] + crowd[:turn] + crowd[3:]
        found = ask(api, alice, turned, method="best_score").json()["matched_users"]
        told = [match["score"] for match in found]
        assert len(told) == 5
        assert told == sorted(told, reverse=True)


def test_a_search_is_logged_under_the_id_that_it_tells(
    api: APIClient, alice: Profile, crowd: list[Profile]
) -> None:
    answer = ask(api, alice, crowd).json()
    logged = Impression.objects.filter(page_id=answer["page_id"], source="search")
    assert {str(one.person_id): one.score for one in logged} == scores(answer)


def test_vectors_never_leave(
    api: APIClient, alice: Profile, crowd: list[Profile]
) -> None:
    answer = ask(api, alice, crowd).content.decode()
    assert "vector" not in answer
    assert "features" not in answer


def upload_anchor(api: APIClient, alice: Profile, seed: int = 99) -> str:
    file = SimpleUploadedFile("photo.png", photo_bytes(seed), "image/png")
    answer = api.post("/v1/anchors", {"file": file, "person_id": str(alice.pk)})
    assert answer.status_code == 201, answer.json()
    return str(answer.json()["id"])


def test_an_anchor_can_be_searched_by_and_is_not_found(
    api: APIClient, alice: Profile, crowd: list[Profile], work: Callable[[], None]
) -> None:
    anchor = upload_anchor(api, alice)
    work()
    answer = ask(api, alice, crowd, positive_photo_ids=[anchor])
    assert answer.status_code == 200
    assert str(alice.pk) not in answer.content.decode()
    assert not PersonVector.objects.filter(profile=alice).exists()


def search_by(api: APIClient, alice: Profile, *photo_ids: str) -> Any:
    body = {"person_id": str(alice.pk), "positive_photo_ids": photo_ids}
    return api.post(URL, body, format="json")


def test_a_photo_that_has_not_been_read_yet_is_named(
    api: APIClient, alice: Profile
) -> None:
    anchor = upload_anchor(api, alice)  # and no worker is there
    answer = search_by(api, alice, anchor)
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:twinby:problem:photos-not-ready"
    assert answer.json()["photo_ids"] == [anchor]


def test_a_photo_that_cannot_be_read_is_named_even_beside_one_still_being_read(
    api: APIClient, alice: Profile
) -> None:
    unread, failed = upload_anchor(api, alice, 1), upload_anchor(api, alice, 2)
    Annotation.objects.filter(photo_id=failed).update(
        status=Annotation.Status.FAILED, failure="off-schema"
    )
    answer = search_by(api, alice, unread, failed)
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:twinby:problem:photos-unreadable"
    assert answer.json()["photo_ids"] == [failed]


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


def test_five_liked_and_five_disliked_photos_are_understood(
    api: APIClient, alice: Profile, crowd: list[Profile]
) -> None:
    photos = [str(person.photos.get().pk) for person in crowd]
    sides = {"positive_photo_ids": photos[:5], "negative_photo_ids": photos[5:]}
    answer = ask(api, alice, crowd, **sides)
    assert answer.status_code == 200
    understood = answer.json()["query"]
    assert (understood["positive_photos"], understood["negative_photos"]) == (5, 5)


SIDES = pytest.mark.parametrize("side", ["positive_photo_ids", "negative_photo_ids"])


def ask_by_strangers(api: APIClient, alice: Profile, **many: int) -> Any:
    """A search by so many photos that are not there, found out after the limits."""
    counts = {"positive_photo_ids": 1, "negative_photo_ids": 1, **many}
    photos = {side: [str(uuid.uuid4()) for _ in range(n)] for side, n in counts.items()}
    return api.post(URL, {"person_id": str(alice.pk), **photos}, format="json")


@SIDES
@pytest.mark.parametrize("most", [5, 50])
def test_a_side_takes_as_many_photos_as_are_configured_and_no_more(
    api: APIClient, alice: Profile, settings: Any, *, side: str, most: int
) -> None:
    settings.SEARCH_MAX_EXAMPLES = most
    taken = ask_by_strangers(api, alice, **{side: most})
    assert taken.status_code == 404
    assert len(taken.json()["photo_ids"]) == most + 1  # one on the other side
    refused = ask_by_strangers(api, alice, **{side: most + 1})
    assert refused.status_code == 400
    assert {error["field"] for error in refused.json()["errors"]} == {side}


def test_a_side_takes_five_photos_unless_configured_otherwise(settings: Any) -> None:
    assert settings.SEARCH_MAX_EXAMPLES == 5
