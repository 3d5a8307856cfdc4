"""Feedback, daily matches, mutual matches and preferences, by HTTP."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from matching import selectors
from matching.models import Feedback, Impression, Match
from profiles import services as people
from profiles.models import Gender, Profile
from tests.conftest import MakePerson
from tests.matching.people import crowd, random_features, say, showing

ApiAs = Callable[[Profile], APIClient]


@pytest.fixture
def women(make_person: MakePerson) -> list[Profile]:
    """Eight women, each showing something else."""
    return [person for person, _ in crowd(make_person() for _ in range(8))]


def said(kind: str, of: Profile | uuid.UUID, **more: Any) -> dict[str, Any]:
    user_id = of.pk if isinstance(of, Profile) else of
    event = {"event_id": str(uuid.uuid4()), "kind": kind, "user_id": str(user_id)}
    return event | {name: str(value) for name, value in more.items()}


def tell(api: APIClient, *events: dict[str, Any], **more: Any) -> Any:
    return api.post("/v1/feedback", {"events": events, **more}, format="json")


def page(api: APIClient, **asked: Any) -> Any:
    answer = api.get("/v1/matches", asked)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def ids(answer: Any) -> list[str]:
    return [match["user_id"] for match in answer["matched_users"]]


# Feedback -----------------------------------------------------------------------------


def test_feedback_gets_a_result_for_each_event_and_the_same_again(
    api_as: ApiAs, alice: Profile, women: list[Profile]
) -> None:
    say(women[1], "like", alice)
    events = [
        said("pass", women[0]),
        said("like", women[1], page_id=uuid.uuid4()),
        said("like", uuid.uuid4()),
    ]
    answers = [tell(api_as(alice), *events) for _ in range(2)]
    assert answers[0].status_code == 200
    assert answers[0].json() == answers[1].json()
    results = [(r["recorded"], r["matched"]) for r in answers[0].json()["results"]]
    assert results == [(True, False), (True, True), (False, False)]
    assert (
        str(Feedback.objects.get(actor=alice, kind="like").page_id)
        == (events[1]["page_id"])
    )


def test_an_id_used_twice_is_a_conflict(
    api_as: ApiAs, alice: Profile, women: list[Profile]
) -> None:
    like = said("like", women[0])
    tell(api_as(alice), like)
    answer = tell(api_as(alice), {**like, "kind": "pass"})
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:twinby:problem:event-conflict"
    assert answer.json()["event_ids"] == [like["event_id"]]


def test_a_report_says_why_and_nothing_else_does(
    api_as: ApiAs, alice: Profile, women: list[Profile]
) -> None:
    report = said("report", women[0], reason="underage")
    assert tell(api_as(alice), report).status_code == 200
    assert Feedback.objects.get().reason == Feedback.Reason.UNDERAGE
    assert tell(api_as(alice), report).status_code == 200
    assert tell(api_as(alice), {**report, "reason": "spam"}).status_code == 409
    for broken in ("report", "ugly"), ("like", "spam"):
        answer = tell(api_as(alice), said(broken[0], women[1], reason=broken[1]))
        assert answer.status_code == 400
    assert Feedback.objects.count() == 1


def test_a_person_speaks_for_themselves_and_a_service_says_for_whom(
    api: APIClient, api_as: ApiAs, alice: Profile, women: list[Profile]
) -> None:
    like = said("like", women[0])
    assert tell(api, like).status_code == 400
    assert tell(api_as(women[1]), like, person_id=str(alice.pk)).status_code == 403
    assert tell(api, like, person_id=str(alice.pk)).status_code == 200
    assert Feedback.objects.get().actor == alice
    undo = f"/v1/feedback/{like['event_id']}"
    assert api_as(women[1]).delete(undo).status_code == 404
    assert api.delete(undo).status_code == 400
    assert api.delete(f"{undo}?person_id={alice.pk}").status_code == 204
    assert api_as(alice).delete(undo).status_code == 204
    assert Feedback.objects.get().withdrawn_at is not None


def test_a_service_speaks_for_nobody_elses_people(
    api: APIClient, make_person: MakePerson, women: list[Profile]
) -> None:
    stranger = make_person(client_id=people.create_client("other")[0].pk)
    answer = tell(api, said("like", women[0]), person_id=str(stranger.pk))
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "broken",
    [
        {"events": []},
        {"events": [{}]},
        {"events": [{"kind": "hate"}]},
        {"events": [{"target": "x"}]},
        {"event": {}},
    ],
)
def test_it_refuses_feedback_that_it_does_not_understand(
    api_as: ApiAs, alice: Profile, women: list[Profile], broken: dict[str, Any]
) -> None:
    if broken.get("events"):
        broken = {"events": [said("like", women[0]) | broken["events"][0], {}]}
    answer = api_as(alice).post("/v1/feedback", broken, format="json")
    assert answer.status_code == 400
    assert answer.json()["errors"]
    assert not Feedback.objects.exists()


def test_it_takes_500_events_at_a_time_and_no_more(
    api_as: ApiAs, alice: Profile, women: list[Profile]
) -> None:
    events = [said("message", women[0]) for _ in range(501)]
    assert tell(api_as(alice), *events).status_code == 400
    answer = tell(api_as(alice), *events[:500])
    assert len(answer.json()["results"]) == 500


# The daily page -----------------------------------------------------------------------


def test_the_daily_page_follows_what_was_learned_and_shows_nobody_judged(
    api_as: ApiAs, alice: Profile, make_person: MakePerson
) -> None:
    wanted = random_features(1)
    likes, unlikes = (
        [showing(make_person(), side * wanted + 0.1 * random_features(i)) for i in r]
        for side, r in ((1, range(10, 13)), (-1, range(20, 23)))
    )
    api = api_as(alice)
    judged = [said("like", likes[0]), said("pass", unlikes[0])]
    tell(api, *judged, said("message", likes[1]))
    answer = page(api)
    assert ids(answer)[0] == str(likes[2].pk)
    assert set(ids(answer)[1:]) == {str(unlikes[1].pk), str(unlikes[2].pk)}
    scores = [match["score"] for match in answer["matched_users"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["preference"]["labels"] == 2
    for match in answer["matched_users"]:
        total = sum(addend["amount"] for addend in match["contributions"])
        assert total == pytest.approx(match["score"], abs=1e-6)
        named = [
            a["liked_photos"] + a["disliked_photos"] for a in match["contributions"]
        ]
        assert not any(named)  # people taught
    assert "people you liked" in answer["matched_users"][0]["explanation"]


def test_who_is_blocked_is_on_neither_page_until_it_is_undone(
    api_as: ApiAs, alice: Profile, women: list[Profile]
) -> None:
    showing(alice, random_features(99))
    pair = [(alice, women[0]), (women[0], alice)]
    block = said("block", women[0])
    tell(api_as(alice), block)
    for viewer, other in pair:
        assert str(other.pk) not in ids(page(api_as(viewer)))
        assert selectors.blocked_with(viewer) == {other.pk}
    api_as(alice).delete(f"/v1/feedback/{block['event_id']}")
    for viewer, other in pair:
        assert str(other.pk) in ids(page(api_as(viewer)))


def test_undone_people_come_back(
    api_as: ApiAs, alice: Profile, women: list[Profile]
) -> None:
    api, unlike = api_as(alice), said("pass", women[0])
    tell(api, unlike)
    assert str(women[0].pk) not in ids(page(api))
    api.delete(f"/v1/feedback/{unlike['event_id']}")
    assert str(women[0].pk) in ids(page(api))


def test_before_anything_is_learned_everybody_is_shown_in_an_order_of_ones_own(
    api_as: ApiAs, alice: Profile, women: list[Profile], make_person: MakePerson
) -> None:
    answer = page(api_as(alice))
    assert set(ids(answer)) == {str(woman.pk) for woman in women}
    assert ids(page(api_as(alice))) == ids(answer)
    assert answer["preference"]["labels"] == 0
    assert "Nothing has been learned" in answer["preference"]["sentence"]
    for match in answer["matched_users"]:
        assert match["match_score"] == pytest.approx(0.5, abs=1e-3)
    orders = {tuple(ids(page(api_as(make_person())))) for _ in range(3)}
    assert len(orders | {tuple(ids(answer))}) > 1


def test_filters_hold_on_the_daily_page(
    api_as: ApiAs, alice: Profile, make_person: MakePerson
) -> None:
    people.update_profile(alice, seeking=list(Gender))
    man, woman = (
        showing(make_person(gender=gender, smokes=smokes), random_features(i))
        for i, (gender, smokes) in enumerate([("man", None), ("woman", True)])
    )
    api = api_as(alice)
    assert ids(page(api, genders=["man", "nonbinary"])) == [str(man.pk)]
    assert ids(page(api, exclude_user_ids=[str(man.pk)])) == [str(woman.pk)]
    assert ids(page(api, smokes="true")) == [str(woman.pk)]
    assert len(ids(page(api))) == 2  # a parameter that is not there is not false
    assert api.get("/v1/matches", {"gender": "man"}).status_code == 400
    assert api.get("/v1/matches", {"limit": "0"}).status_code == 400
    assert api.get("/v1/matches", {"radius_km": "5"}).status_code == 400


def test_pages_follow_each_other_though_people_are_judged_meanwhile(
    api_as: ApiAs, alice: Profile, women: list[Profile]
) -> None:
    api = api_as(alice)
    tell(api, said("like", women[0]))
    whole = ids(page(api))
    first = page(api, limit=3)
    assert ids(first) == whole[:3]
    tell(api, *(said("pass", uuid.UUID(pk)) for pk in ids(first)))
    second = page(api, limit=3, cursor=first["next_cursor"])
    assert ids(second) == whole[3:6]
    last = page(api, limit=3, cursor=second["next_cursor"])
    assert ids(last) == whole[6:]
    assert last["next_cursor"] is None


def test_a_cursor_is_for_its_own_person_and_filters(
    api_as: ApiAs, alice: Profile, women: list[Profile]
) -> None:
    cursor = page(api_as(alice), limit=2)["next_cursor"]
    for viewer, asked in [(women[0], {}), (alice, {"age_min": 20})]:
        answer = api_as(viewer).get("/v1/matches", {"cursor": cursor, **asked})
        assert answer.json()["type"] == "urn:twinby:problem:bad-cursor"


def test_a_page_is_logged_under_the_id_that_it_tells(
    api: APIClient, alice: Profile, women: list[Profile]
) -> None:
    answer = page(api, person_id=str(alice.pk), limit=2)
    logged = Impression.objects.filter(page_id=answer["page_id"], source="daily")
    assert [str(one.person_id) for one in logged.order_by("rank")] == ids(answer)


def test_no_vector_leaves(api_as: ApiAs, alice: Profile, women: list[Profile]) -> None:
    api = api_as(alice)
    tell(api, said("like", women[0]))
    for address in ("/v1/matches", f"/v1/people/{alice.pk}/preference"):
        text = api.get(address).content.decode()
        assert "vector" not in text
        assert "features" not in text


# Mutual matches -----------------------------------------------------------------------


def mutual(api: APIClient, **asked: Any) -> Any:
    answer = api.get("/v1/matches/mutual", asked)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def matched(one: Profile, other: Profile) -> str:
    say(one, "like", other)
    say(other, "like", one)
    return str(Match.objects.latest("changed_at").pk)


def test_everybody_sees_their_own_matches_and_a_service_those_of_its_people(
    api: APIClient, api_as: ApiAs, alice: Profile, women: list[Profile]
) -> None:
    own, others = matched(alice, women[0]), matched(women[1], women[2])
    assert [m["id"] for m in mutual(api_as(alice))["matches"]] == [own]
    assert [m["id"] for m in mutual(api)["matches"]] == [own, others]
    of_one = mutual(api, person_id=str(women[2].pk))["matches"]
    assert [m["id"] for m in of_one] == [others]
    assert set(of_one[0]["user_ids"]) == {str(women[1].pk), str(women[2].pk)}
    refused = api_as(alice).get("/v1/matches/mutual", {"person_id": str(alice.pk)})
    assert refused.status_code == 403


def test_another_apps_matches_are_not_there(
    api: APIClient, make_person: MakePerson
) -> None:
    other = people.create_client("other")[0]
    matched(*(make_person(client_id=other.pk) for _ in range(2)))
    assert mutual(api)["matches"] == []


def test_news_can_be_asked_for_since_a_moment_ends_included(
    api: APIClient, alice: Profile, women: list[Profile]
) -> None:
    first, second = matched(alice, women[0]), matched(alice, women[1])
    since = timezone.now().isoformat()
    assert mutual(api, since=since)["matches"] == []
    say(women[0], "unmatch", alice)
    (news,) = mutual(api, since=since)["matches"]
    assert news["id"] == first
    assert news["ended_at"] == news["changed_at"]
    assert [m["id"] for m in mutual(api)["matches"]] == [second, first]


def test_mutual_matches_come_page_by_page(
    api: APIClient, alice: Profile, women: list[Profile]
) -> None:
    every = [matched(alice, woman) for woman in women[:5]]
    moment = timezone.now() - dt.timedelta(days=1)
    Match.objects.update(changed_at=moment)  # at once: ids decide
    answer = mutual(api, limit=2)
    seen = [match["id"] for match in answer["matches"]]
    while answer["next_cursor"]:
        answer = mutual(api, limit=2, cursor=answer["next_cursor"])
        seen += [match["id"] for match in answer["matches"]]
    assert seen == sorted(every)
    broken = api.get("/v1/matches/mutual", {"cursor": "x"})
    assert broken.json()["type"] == "urn:twinby:problem:bad-cursor"


# Preference ---------------------------------------------------------------------------


def test_a_preference_is_told_in_words_and_numbers_and_can_be_reset(
    api_as: ApiAs, alice: Profile, women: list[Profile]
) -> None:
    api, address = api_as(alice), f"/v1/people/{alice.pk}/preference"
    nothing = api.get(address).json()
    assert (nothing["liked"], nothing["super_liked"], nothing["passed"]) == (0, 0, 0)
    assert "Nothing has been learned" in nothing["sentence"]
    kinds = ["like", "like", "super_like", "pass"]
    tell(api, *(said(kind, woman) for kind, woman in zip(kinds, women, strict=False)))
    told = api.get(address).json()
    assert (told["liked"], told["super_liked"], told["passed"]) == (2, 1, 1)
    assert told["wishes"][0]["weight"] > 0 > told["aversions"][0]["weight"]
    assert told["sentence"] != nothing["sentence"]
    assert told["feature_space"].startswith("f-")
    assert told["prior"] == "cold"
    assert api.delete(address).status_code == 204
    assert api.get(address).json() == nothing
    shown = {str(woman.pk) for woman in women[4:]}
    assert set(ids(page(api))) == shown  # those judged stay judged


def test_nobody_sees_or_resets_anothers_preference(
    api_as: ApiAs, alice: Profile, women: list[Profile]
) -> None:
    address = f"/v1/people/{women[0].pk}/preference"
    assert api_as(alice).get(address).status_code == 404
    assert api_as(alice).delete(address).status_code == 404
