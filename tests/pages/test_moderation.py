"""Moderators' pages: look, decide, correct, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.test import Client as Web

from annotation import services as annotation
from annotation.models import Annotation, Correction
from annotation.moderators import ensure_group
from annotation.schema import SCHEMA
from matching.models import Feedback, PersonVector
from matching.search import Query, search
from matching.services import reindex
from profiles.models import Gender, Photo, Profile
from tests.conftest import MakePerson, MakePhoto
from tests.matching.people import say
from tests.pages.conftest import MakeCrowd

PHOTOS = "/admin/profiles/photo/"


@pytest.fixture
def crowd(make_crowd: MakeCrowd) -> list[Profile]:
    """As many people as a moderator needs to see."""
    return make_crowd(4)


@pytest.fixture
def photo(crowd: list[Profile]) -> Photo:
    return crowd[0].photos.get()


def page_of(photo: Photo) -> str:
    return f"{PHOTOS}{photo.pk}/change/"


def correct(desk: Web, photo: Photo, attribute: str, **given: Any) -> Any:
    path = f"{PHOTOS}{photo.pk}/correct/?attribute={attribute}"
    return desk.post(path, {"reason": "seen by eye", **given})


def decide(desk: Web, photo: Photo, decision: str, reason: str = "") -> Any:
    given = {"decision": decision, "reason": reason}
    answer = desk.post(f"{PHOTOS}{photo.pk}/decide/", given)
    photo.refresh_from_db()
    return answer


@pytest.mark.parametrize(
    "path",
    [
        "/admin/",
        PHOTOS,
        "/admin/profiles/profile/",
        "/admin/annotation/annotation/",
        "/admin/annotation/correction/",
        "/admin/matching/feedback/",
        "/admin/matching/match/",
    ],
)
def test_a_moderator_sees_people_photos_and_readings(
    desk: Web, photo: Photo, path: str
) -> None:
    assert desk.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/admin/auth/user/",
        "/admin/auth/group/",
        "/admin/profiles/client/",
        "/admin/matching/personvector/",
    ],
)
def test_a_moderator_sees_neither_users_nor_clients(desk: Web, path: str) -> None:
    assert desk.get(path).status_code == 403


def test_a_moderator_sees_reports_and_nobodys_likes(
    desk: Web, make_person: MakePerson
) -> None:
    one, other = make_person(), make_person()
    say(one, "like", other)
    say(one, "report", other)
    like, report = Feedback.objects.order_by("pk")
    page = "/admin/matching/feedback/"
    assert f"{page}{report.pk}/change/" in desk.get(page).content.decode()
    assert f"{page}{like.pk}/change/" not in desk.get(page).content.decode()
    Feedback.objects.filter(pk=report.pk).update(reason="underage")
    of_reason = f"{page}?reason__exact="
    assert f"{report.pk}/change/" in desk.get(f"{of_reason}underage").content.decode()
    assert f"{report.pk}/change/" not in desk.get(f"{of_reason}spam").content.decode()
    assert desk.get(f"{page}{report.pk}/change/").status_code == 200
    assert desk.get(f"{page}{like.pk}/change/").status_code == 302
    assert desk.post(f"{page}{report.pk}/change/", {}).status_code == 403


def test_a_migration_leaves_what_was_added_to_the_group(db: None) -> None:
    group = Group.objects.get(name="moderators")
    extra = Permission.objects.get(codename="view_space")
    group.permissions.add(extra)
    before = group.permissions.count()
    ensure_group()
    assert extra in group.permissions.all()
    assert group.permissions.count() == before


def test_strangers_are_sent_to_the_login(photo: Photo) -> None:
    answer = Web().get(page_of(photo))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


def test_a_photo_is_shown_with_every_probability(desk: Web, photo: Photo) -> None:
    text = desk.get(page_of(photo)).content.decode()
    reading = annotation.effective_readings([photo.pk])[photo.pk]
    for attribute in SCHEMA:
        assert f"?attribute={attribute.name}" in text
        row = re.search(
            rf"{attribute.name.replace('_', ' ')}\s*</th>(.*?)</tr>", text, re.S
        )
        assert row is not None
        for value in reading.attributes[attribute.name]:
            assert value.replace("_", " ") in row[1]


def test_a_photo_that_was_not_read_says_so(
    desk: Web, crowd: list[Profile], make_photo: MakePhoto
) -> None:
    unread = make_photo(crowd[0])
    assert "No reading yet: pending" in desk.get(page_of(unread)).content.decode()


def test_anchors_are_private_to_their_owner(
    desk: Web, crowd: list[Profile], make_photo: MakePhoto
) -> None:
    anchor = make_photo(crowd[0], purpose=Photo.Purpose.ANCHOR)
    annotation.annotate(list(Annotation.objects.pending().values_list("pk", flat=True)))
    reading = anchor.annotations.get()
    shown = [
        PHOTOS,
        f"/admin/profiles/profile/{crowd[0].pk}/change/",
        page_of(crowd[0].photos.exclude(pk=anchor.pk).get()),
        "/admin/annotation/annotation/",
    ]
    for path in shown:
        assert str(anchor.pk) not in desk.get(path).content.decode()
    assert desk.get(page_of(anchor)).status_code == 302
    assert desk.get(f"{PHOTOS}{anchor.pk}/correct/").status_code == 404
    assert decide(desk, anchor, "approve").status_code == 404
    hidden = desk.get(f"/admin/annotation/annotation/{reading.pk}/change/")
    assert hidden.status_code == 302


# Correcting ---------------------------------------------------------------------------


def test_a_correction_wins_and_is_seen_to_win(
    desk: Web, moderator: User, photo: Photo
) -> None:
    answer = correct(desk, photo, "hair_color", values="dyed")
    assert answer.status_code == 302
    made = Correction.objects.get()
    assert (made.moderator, made.reason) == (moderator, "seen by eye")
    reading = annotation.effective_readings([photo.pk])[photo.pk]
    assert reading.attributes["hair_color"]["dyed"] == 1
    text = desk.get(answer["Location"]).content.decode()
    assert "corrected" in text
    assert "seen by eye" in text
    assert LogEntry.objects.filter(object_id=str(photo.pk)).count() == 1


def test_a_correction_changes_the_next_search(
    desk: Web, crowd: list[Profile], make_person: MakePerson
) -> None:
    liked, other = crowd[0].photos.get(), crowd[1].photos.get()
    viewer = make_person(
        client_id=crowd[0].client_id, gender=Gender.WOMAN, seeking=list(Gender)
    )

    def match_of_other() -> Any:
        page = search(viewer, Query(liked=(liked.pk,), limit=50))
        return next(m for m in page.matches if m.profile_id == other.owner_id)

    before = match_of_other()
    for photo in (liked, other):
        correct(desk, photo, "hair_color", values="dyed")
        reindex([photo.owner_id])
    after = match_of_other()
    assert after.ranked.score > before.ranked.score
    reason = next(r for r in after.explanation.reasons if r.name == "hair_color")
    assert (reason.value, reason.amount > 0) == ("dyed", True)


def test_several_values_can_be_right_at_once(desk: Web, photo: Photo) -> None:
    correct(desk, photo, "clothing_items", values=["jeans", "jacket"])
    seen = annotation.effective_readings([photo.pk])[photo.pk].attributes
    sure = {v for v, p in seen["clothing_items"].items() if p == 1}
    assert sure == {"jeans", "jacket"}


def test_what_is_not_visible_can_be_said(desk: Web, photo: Photo) -> None:
    correct(desk, photo, "tattoos", values="not_visible")
    seen = annotation.effective_readings([photo.pk])[photo.pk].attributes
    assert seen["tattoos"]["not_visible"] == 1


def test_a_moderator_says_that_none_of_many_is_there(desk: Web, photo: Photo) -> None:
    correct(desk, photo, "accessories", values=["none_of_these"])
    correction = Correction.objects.get()
    assert set(correction.distribution.values()) == {0.0}


@pytest.mark.parametrize(
    ("attribute", "given"),
    [
        ("hair_color", {"values": "dyed", "reason": " "}),
        ("hair_color", {"values": "jeans"}),
        ("hair_color", {}),
        ("clothing_items", {}),
        ("clothing_items", {"values": ["jeans", "not_visible"]}),
        ("clothing_items", {"values": ["jeans", "none_of_these"]}),
        ("hair_color", {"values": "none_of_these"}),
    ],
)
def test_it_refuses_a_correction_that_says_nothing_clear(
    desk: Web, photo: Photo, attribute: str, given: dict[str, Any]
) -> None:
    answer = correct(desk, photo, attribute, **given)
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert not Correction.objects.exists()


def test_what_is_no_attribute_cannot_be_corrected(desk: Web, photo: Photo) -> None:
    assert correct(desk, photo, "beauty", values="much").status_code == 404


def test_a_withdrawn_correction_no_longer_counts(desk: Web, photo: Photo) -> None:
    machine = annotation.effective_readings([photo.pk])[photo.pk].attributes
    correct(desk, photo, "hair_color", values="dyed")
    chosen = [Correction.objects.get().pk]
    answer = desk.post(
        "/admin/annotation/correction/",
        {"action": "withdraw", "_selected_action": chosen},
    )
    assert answer.status_code == 302
    assert annotation.effective_readings([photo.pk])[photo.pk].attributes == machine
    assert "withdrawn" in desk.get(page_of(photo)).content.decode()


def test_only_who_may_correct_can(photo: Photo) -> None:
    looker = User.objects.create_user("looker", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_photo"))
    web = Web()
    web.force_login(looker)
    page = web.get(page_of(photo))
    assert page.status_code == 200
    assert "Correct" not in page.content.decode()
    assert "Reject" not in page.content.decode()
    assert correct(web, photo, "hair_color", values="dyed").status_code == 403
    assert decide(web, photo, "reject", "no").status_code == 403
    assert photo.status == Photo.Status.APPROVED


def test_machine_output_cannot_be_changed(desk: Web, photo: Photo) -> None:
    row = photo.annotations.get()
    path = f"/admin/annotation/annotation/{row.pk}/change/"
    assert "hair color" in desk.get(path).content.decode()
    assert desk.post(path, {"model": "mine", "status": "failed"}).status_code == 403
    row.refresh_from_db()
    assert row.status == Annotation.Status.DONE


# Deciding -----------------------------------------------------------------------------


def test_a_photo_is_never_taken_away_without_a_reason(desk: Web, photo: Photo) -> None:
    decide(desk, photo, "reject", "  ")
    assert photo.status == Photo.Status.APPROVED
    decide(desk, photo, "reject", "shows a phone number")
    assert photo.status == Photo.Status.REJECTED
    assert photo.status_reason == "shows a phone number"
    assert "shows a phone number" in desk.get(page_of(photo)).content.decode()


def test_a_photo_can_be_quarantined_and_let_back(
    desk: Web, crowd: list[Profile], make_photo: MakePhoto
) -> None:
    photo = make_photo(crowd[0], published=False)
    decide(desk, photo, "quarantine", "is this an adult?")
    assert photo.status == Photo.Status.QUARANTINED
    decide(desk, photo, "approve")
    assert photo.status == Photo.Status.APPROVED
    assert photo.approval_source == Photo.ApprovalSource.MODERATOR


def test_what_people_have_approved_is_offered_no_quarantine(
    desk: Web, photo: Photo
) -> None:
    assert "Quarantine" not in desk.get(page_of(photo)).content.decode()
    Photo.objects.update(approval_source=Photo.ApprovalSource.GATES)
    assert "Quarantine" in desk.get(page_of(photo)).content.decode()


def test_a_decision_must_be_one_of_three(desk: Web, photo: Photo) -> None:
    assert decide(desk, photo, "delete", "why not").status_code == 403
    assert desk.get(f"{PHOTOS}{photo.pk}/decide/").status_code == 405
    assert photo.status == Photo.Status.APPROVED


def test_many_photos_are_rejected_at_once_with_one_reason(
    desk: Web, crowd: list[Profile]
) -> None:
    photos = Photo.objects.filter(owner__in=crowd[:3])
    chosen = [str(photo.pk) for photo in photos]
    action = {"action": "reject", "_selected_action": chosen}
    desk.post(PHOTOS, action)
    assert not photos.filter(status=Photo.Status.REJECTED).exists()
    desk.post(PHOTOS, {**action, "reason": "stock photos"})
    assert photos.filter(status_reason="stock photos").count() == 3


def test_a_blocked_person_is_out_of_every_search_until_unblocked(
    desk: Web, crowd: list[Profile]
) -> None:
    people, chosen = "/admin/profiles/profile/", [str(crowd[0].pk)]
    desk.post(people, {"action": "block", "_selected_action": chosen})
    assert crowd[0] not in Profile.objects.searchable()
    desk.post(people, {"action": "unblock", "_selected_action": chosen})
    assert crowd[0] in Profile.objects.searchable()


# Operating ----------------------------------------------------------------------------


def test_nobody_is_shown_a_vector(crowd: list[Profile], admin_client: Web) -> None:
    row = PersonVector.objects.select_related("space").earliest("pk")
    of_person = admin_client.get(f"/admin/matching/personvector/{row.pk}/change/")
    of_space = admin_client.get(f"/admin/matching/space/{row.space_id}/change/")
    for answer in (of_person, of_space):
        text = answer.content.decode()
        assert answer.status_code == 200
        assert "field-vector" not in text
        assert "field-content" not in text
        assert not re.search(r"-?\d\.\d+,\s*-?\d\.\d+,", text)
    assert row.space.version in of_person.content.decode()
