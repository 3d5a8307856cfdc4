"""The demo page, as a browser's requests see it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Web

from demo.visitors import SESSION_KEY
from matching.ranking.stages import STAGES
from profiles.models import Gender, Photo, Profile
from profiles.services import erase_profile
from tests.conftest import photo_bytes
from tests.pages.conftest import read_and_index

SEARCH = "/demo/search"


@pytest.fixture
def web() -> Web:
    return Web()


def photo_of(person: Profile) -> str:
    return str(person.photos.get().pk)


def upload(seed: int, name: str = "me.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, photo_bytes(seed), "image/png")


def search(
    web: Web, liked: Sequence[str], disliked: Sequence[str] = (), **more: Any
) -> Any:
    return web.get(SEARCH, {"liked": liked, "disliked": disliked, **more})


def found(answer: Any) -> list[uuid.UUID]:
    return [card.tile.photo_id for card in answer.context["cards"]]


def labels(answer: Any) -> set[str]:
    return {bar.label for card in answer.context["cards"] for bar in card.bars}


@pytest.mark.parametrize("path", ["/", SEARCH])
def test_there_is_no_demo_unless_it_is_turned_on(
    web: Web, settings: Any, crowd: list[Profile], path: str
) -> None:
    settings.DEMO_PAGE = False
    assert web.get(path).status_code == 404
    refused = web.post(SEARCH, {"liked": photo_of(crowd[0]), "liked_files": upload(77)})
    assert refused.status_code == 404
    assert not Photo.objects.filter(purpose=Photo.Purpose.ANCHOR).exists()


@pytest.mark.django_db
def test_it_says_how_to_get_people_where_there_are_none(web: Web) -> None:
    answer = web.get("/")
    assert answer.status_code == 404
    assert "./run demo" in answer.content.decode()


def test_it_offers_a_photo_of_everybody(web: Web, crowd: list[Profile]) -> None:
    offered = [str(tile.photo_id) for tile in web.get("/").context["tiles"]]
    assert sorted(offered) == sorted(photo_of(person) for person in crowd)


def test_a_photo_that_is_not_published_is_not_offered(
    web: Web, crowd: list[Profile]
) -> None:
    crowd[0].photos.update(status=Photo.Status.PENDING)
    offered = [tile.photo_id for tile in web.get("/").context["tiles"]]
    assert crowd[0].photos.get().pk not in offered
    assert len(offered) == len(crowd) - 1


def test_its_pictures_can_be_fetched(web: Web, crowd: list[Profile]) -> None:
    for tile in web.get("/").context["tiles"][:3]:
        picture = web.get(tile.path)
        assert picture.status_code == 200
        assert picture["Content-Type"] == "image/webp"


def test_it_thanks_the_makers_of_the_photos(web: Web, crowd: list[Profile]) -> None:
    text = web.get("/").content.decode()
    assert "DeBruine" in text
    assert "CC BY 4.0" in text


def test_a_choice_leads_to_ten_people_and_why(
    web: Web, crowd: list[Profile], settings: Any
) -> None:
    settings.RANKING = dict.fromkeys(STAGES, 0.0)  # by taste alone
    chosen = [photo_of(person) for person in crowd[:3]]
    asked = web.post(SEARCH, {"liked": chosen[:2], "disliked": chosen[2:]})
    assert asked.status_code == 302
    answer = web.get(asked["Location"])
    assert answer.status_code == 200
    cards = answer.context["cards"]
    assert len(cards) == 10
    assert not set(map(str, found(answer))) & set(chosen)
    percents = [card.percent for card in cards]
    assert percents == sorted(percents, reverse=True)
    for card in cards:
        assert card.sentence in answer.content.decode()
        assert len(card.bars) <= 6
        assert all(0 <= b.left <= b.left + b.width <= 100.001 for b in card.bars)
    assert any(card.bars for card in cards)


def test_the_next_page_has_the_others(web: Web, crowd: list[Profile]) -> None:
    chosen = [photo_of(person) for person in crowd[:2]]
    first = search(web, chosen)
    second = web.get(f"{SEARCH}?{first.context['next_query']}")
    everybody = {*found(first), *found(second)}
    assert len(everybody) == len(found(first)) + len(found(second)) == len(crowd) - 2
    assert not second.context["next_query"]


def test_one_may_look_for_one_gender(web: Web, crowd: list[Profile]) -> None:
    answer = search(web, [photo_of(crowd[0])], gender="man")
    owners = Profile.objects.filter(photos__in=found(answer))
    assert len(owners) == 8
    assert {owner.gender for owner in owners} == {Gender.MAN}


def test_what_does_not_matter_has_no_say(
    web: Web, crowd: list[Profile], settings: Any
) -> None:
    settings.RANKING = dict.fromkeys(STAGES, 0.0)
    chosen = [photo_of(person) for person in crowd[:2]]
    only_look: dict[str, Any] = {"appearance": 0, "style": 0, "context": 0}
    assert labels(search(web, chosen)) - {"overall look"}
    assert labels(search(web, chosen, **only_look)) <= {"overall look"}


def test_a_choice_can_be_changed(web: Web, crowd: list[Profile]) -> None:
    chosen = [photo_of(person) for person in crowd[:2]]
    answer = search(web, chosen[:1], chosen[1:], gender="woman", style=0.5)
    again = web.get(f"/?{answer.context['query']}")
    assert {str(pk) for pk in again.context["liked"]} == {chosen[0]}
    assert {str(pk) for pk in again.context["disliked"]} == {chosen[1]}
    page = again.content.decode()
    assert (
        len(re.findall(r'name="(?:dis)?liked" value="[-0-9a-f]+" checked', page)) == 2
    )
    assert re.search(r'value="woman"[^>]*checked', page)
    assert re.search(r'name="style" value="0.5"', page)


def test_it_says_what_is_wrong_with_a_choice(web: Web, crowd: list[Profile]) -> None:
    photos = [photo_of(person) for person in crowd]
    wrong = {
        "at least one photo that you like": {"disliked": photos[:1]},
        "at most 5 photos that you like": {"liked": photos[:6]},
        "at most 5 photos that you do not like": {
            "liked": photos[:1],
            "disliked": photos[1:7],
        },
        "liked or disliked, not both": {"liked": photos[:1], "disliked": photos[:1]},
        "not the id of a photo": {"liked": ["42"]},
    }
    for words, choice in wrong.items():
        for answer in (web.post(SEARCH, choice), web.get(SEARCH, choice)):
            assert answer.status_code == 400
            assert len(answer.context["errors"]) == 1
            assert words in answer.context["errors"][0]


def test_too_many_uploads_are_refused_before_they_are_stored(
    web: Web, crowd: list[Profile]
) -> None:
    photos = [photo_of(person) for person in crowd[:4]]
    files = [upload(70), upload(71)]
    answer = web.post(SEARCH, {"liked": photos, "liked_files": files})
    assert answer.status_code == 400
    assert "these are 6" in answer.content.decode()
    assert not Photo.objects.filter(purpose=Photo.Purpose.ANCHOR).exists()


def test_a_photo_of_ones_own_can_be_searched_by(web: Web, crowd: list[Profile]) -> None:
    asked = web.post(
        SEARCH, {"liked_files": [upload(80)], "disliked_files": upload(81)}
    )
    assert asked.status_code == 302
    read_and_index(crowd[:0])
    answer = web.get(asked["Location"])
    assert len(answer.context["liked"]) == len(answer.context["disliked"]) == 1
    assert len(answer.context["cards"]) == 10


def test_it_waits_for_a_photo_that_is_being_read(
    web: Web, crowd: list[Profile]
) -> None:
    asked = web.post(SEARCH, {"liked_files": upload(82)})
    answer = web.get(asked["Location"])
    assert answer.status_code == 200
    assert 'http-equiv="refresh"' in answer.content.decode()
    assert "being read" in answer.content.decode()


def test_a_file_that_is_no_photo_is_refused_in_words(
    web: Web, crowd: list[Profile]
) -> None:
    text = SimpleUploadedFile("me.png", b"only words", "image/png")
    chosen = photo_of(crowd[0])
    answer = web.post(SEARCH, {"liked": chosen, "liked_files": [upload(83), text]})
    assert answer.status_code == 400
    assert "not a photo" in answer.content.decode()
    assert chosen in {str(pk) for pk in answer.context["liked"]}
    assert len(answer.context["liked"]) == 2  # and the file before it is not lost


def test_visitors_do_not_see_each_others_photos(web: Web, crowd: list[Profile]) -> None:
    web.post(SEARCH, {"liked_files": upload(84)})
    mine = Photo.objects.get(purpose=Photo.Purpose.ANCHOR)
    assert mine.pk in [tile.photo_id for tile in web.get("/").context["tiles"]]
    other = Web()
    assert mine.pk not in [tile.photo_id for tile in other.get("/").context["tiles"]]
    refused = search(other, [str(mine.pk)])
    assert refused.status_code == 404
    assert "not for you" in refused.content.decode()
    other.post(SEARCH, {"liked_files": upload(86)})
    assert web.session[SESSION_KEY] != other.session[SESSION_KEY]


def test_looking_and_choosing_leave_no_trace(crowd: list[Profile]) -> None:
    chosen = {"liked": [photo_of(crowd[0])]}
    Web().get("/")  # the first of all makes the person whom all share
    people = set(Profile.objects.values_list("pk", flat=True))
    for _ in range(3):
        assert Web().get("/").status_code == 200
        assert Web().head("/").status_code == 200
        assert Web().get(SEARCH, chosen).status_code == 200
        assert Web().head(SEARCH, chosen).status_code == 200
        assert Web().post(SEARCH, chosen).status_code == 302
    assert set(Profile.objects.values_list("pk", flat=True)) == people
    assert len(people) == len(crowd) + 1
    assert not Session.objects.exists()


def test_a_refused_choice_makes_no_visitor(web: Web, crowd: list[Profile]) -> None:
    files = [upload(seed) for seed in range(90, 96)]
    assert web.post(SEARCH, {"liked_files": files}).status_code == 400
    assert SESSION_KEY not in web.session


def test_a_visitor_is_found_by_nobody(web: Web, crowd: list[Profile]) -> None:
    web.post(SEARCH, {"liked_files": upload(87)})
    visitor = Profile.objects.get(pk=web.session[SESSION_KEY])
    assert visitor.synthetic
    assert visitor not in Profile.objects.searchable()


def test_a_visitor_who_was_erased_may_look_on(web: Web, crowd: list[Profile]) -> None:
    web.post(SEARCH, {"liked_files": upload(88)})
    erase_profile(Profile.objects.get(pk=web.session[SESSION_KEY]))
    assert len(web.get("/").context["tiles"]) == len(crowd)
    assert web.post(SEARCH, {"liked_files": upload(88)}).status_code == 302


def test_uploads_need_the_token_of_their_form(crowd: list[Profile]) -> None:
    forged = Web(enforce_csrf_checks=True)
    answer = forged.post(SEARCH, {"liked_files": upload(85)})
    assert answer.status_code == 403
    assert not Photo.objects.filter(purpose=Photo.Purpose.ANCHOR).exists()
