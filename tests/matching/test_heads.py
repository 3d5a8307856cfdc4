"""A head takes over beside the one in use: complete, whole, better, and reversibly."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, transaction
from django.test import Client as Web

from annotation import services as annotation
from annotation.models import Annotation
from annotation.services.calibrating import activate_calibration
from matching import heads, selectors, services, spaces
from matching.features import BLOCKS, VISUAL, unpack
from matching.models import Head, PersonVector, Space
from matching.projection import Projection
from matching.search import Page, Query, search
from matching.services import indexing
from profiles import services as people
from profiles.models import Photo, Profile
from tests.annotation.calibrations import VERSION, keep
from tests.conftest import MakePerson, MakePhoto
from tests.matching.heads import ANNOTATOR, head, weights
from tests.matching.test_index import switch_annotator
from twinby.errors import ConflictError, NotFoundError, UnavailableError

Work = Callable[[], None]


@pytest.fixture(autouse=True)
def forgetful() -> None:
    """A process that has just started remembers no head and no space."""
    heads.projection.cache_clear()


@pytest.fixture
def crowd(
    make_person: MakePerson, make_photo: MakePhoto, request: pytest.FixtureRequest
) -> list[Profile]:
    """Five people who can be found: read by the worker where a test has one."""
    persons = [make_person() for _ in range(5)]
    photos = [make_photo(person).pk for person in persons]
    if "work" in request.fixturenames:
        request.getfixturevalue("work")()
        return persons
    annotation.request(photos)
    annotation.annotate(list(Annotation.objects.values_list("pk", flat=True)))
    for person in persons:
        services.reindex([person.pk])
    return persons


def answer(viewer: Profile, liked: Profile) -> Page:
    return search(viewer, Query(liked=(liked.photos.get().pk,), limit=50))


def scores(page: Page) -> dict[str, float]:
    return {match.ranked.candidate.id: match.ranked.score for match in page.matches}


def looks(space: Space) -> dict[Any, list[float]]:
    """The visual part of everybody's vector in a space."""
    return {
        row.profile_id: unpack(row.vector)[BLOCKS[VISUAL]].tolist()
        for row in PersonVector.objects.filter(space=space)
    }


def active() -> str:
    return str(spaces.feature_space(spaces.active_space()).projection)


# Taking over --------------------------------------------------------------------------


def test_an_activated_head_projects_everybody_without_reading_a_photo(
    crowd: list[Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = looks(spaces.active_space())
    monkeypatch.setattr("annotation.backends.fake.FakeAnnotator.read", None)
    one = head()
    space = services.activate_head(one.version)
    assert active() == one.version
    assert spaces.active_space() == space
    after = looks(space)
    assert after.keys() == before.keys() == {person.pk for person in crowd}
    frame = spaces.feature_space(space)
    project = Projection("by hand", 512, weights())
    for person in crowd:
        row = person.photos.get().annotations.get()
        features = np.frombuffer(bytes(row.features or b""), "<f2").astype(np.float32)
        look = frame.alpha * (project(features) - frame.visual_mean)
        expected = look / (1 + frame.shrinkage)
        assert after[person.pk] == pytest.approx(expected.tolist(), abs=2e-3)
    one.refresh_from_db()
    assert one.status == Head.Status.ACTIVE


def test_searches_answer_before_while_and_after_and_never_mix(
    alice: Profile, crowd: list[Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answer(alice, crowd[0])
    during: list[Page] = []
    index_people = services.index_people

    def searched(*args: Any, **options: Any) -> None:
        during.append(answer(alice, crowd[0]))
        index_people(*args, **options)

    monkeypatch.setattr(indexing, "INDEX_BATCH", 2)
    monkeypatch.setattr(indexing, "index_people", searched)
    services.activate_head(head().version)
    after = answer(alice, crowd[0])
    assert len(during) == 3
    for page in during:
        assert page.space.version == before.space.version
        assert scores(page) == scores(before)
    assert after.space.version != before.space.version
    assert scores(after).keys() == scores(before).keys()
    assert scores(after) != scores(before)


def test_a_search_under_way_ends_in_the_space_in_which_it_began(
    alice: Profile, crowd: list[Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answer(alice, crowd[0])
    candidates = selectors.candidates

    def overtaken(*args: Any, **options: Any) -> Any:
        services.activate_head(head().version)
        return candidates(*args, **options)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(selectors, "candidates", overtaken)
        page = answer(alice, crowd[0])
    assert scores(page) == scores(before)
    assert active() != page.space.projection


def test_who_uploads_while_a_space_is_built_is_found_in_both(
    work: Work,
    crowd: list[Profile],
    make_person: MakePerson,
    make_photo: MakePhoto,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = spaces.active_space()
    index = indexing._index
    newcomers = []

    def joined(*args: Any, **options: Any) -> None:
        index(*args, **options)
        newcomers.append(make_person())
        make_photo(newcomers[0])
        work()

    monkeypatch.setattr(indexing, "_index", joined)
    new = services.activate_head(head().version)
    assert newcomers[0].vectors.filter(space=old).exists()
    assert newcomers[0].vectors.filter(space=new).exists()
    assert looks(old)[newcomers[0].pk] != looks(new)[newcomers[0].pk]


def test_the_way_back_is_to_activate_the_former(
    alice: Profile, crowd: list[Profile]
) -> None:
    first, second = head(1), head(2)
    services.activate_head(first.version)
    before = answer(alice, crowd[0])
    services.activate_head(second.version, force=True)
    people.update_profile(crowd[4], status="paused")
    assert active() == second.version
    services.activate_head(first.version)  # no force: it was active once
    after = answer(alice, crowd[0])
    gone = {str(crowd[4].pk)}
    assert scores(after).keys() == scores(before).keys() - gone
    assert active() == first.version
    assert {h.version: h.status for h in Head.objects.all()} == {
        first.version: "active",
        second.version: "retired",
    }


def test_one_can_go_back_to_no_head_at_all(
    alice: Profile, crowd: list[Profile]
) -> None:
    services.fit_feature_space()
    before = answer(alice, crowd[0])
    services.activate_head(head().version)
    services.activate_head("untrained")
    assert active() == "identity"
    assert scores(answer(alice, crowd[0])) == scores(before)
    assert Head.objects.get().status == Head.Status.RETIRED


def test_whoever_changed_while_a_space_was_retired_is_projected_anew(
    work: Work, crowd: list[Profile], make_photo: MakePhoto
) -> None:
    services.fit_feature_space()
    services.activate_head(head().version)
    one, other = crowd[0].photos.get(), make_photo(crowd[0])
    people.reject(one.pk, reason="blurred")
    work()
    people.approve(one.pk, source=Photo.ApprovalSource.MODERATOR)
    people.reject(other.pk, reason="blurred")
    work()
    old = Space.objects.exclude(pk=spaces.active_space().pk).latest("pk")
    stale = {pk: [0.0] * 512 for pk in looks(old)}
    PersonVector.objects.filter(space=old).update(vector=[0.0] * 768)
    assert looks(old) == stale
    space = services.activate_head("untrained")
    assert looks(space).keys() == {person.pk for person in crowd}
    assert all(any(look) for look in looks(space).values())


def test_a_newly_fitted_space_keeps_the_active_head(crowd: list[Profile]) -> None:
    one = head()
    services.activate_head(one.version)
    activate_calibration(VERSION, keep(2.0))  # so that the new space is another
    before = spaces.active_space()
    services.fit_feature_space()
    assert spaces.active_space() != before
    assert active() == one.version


def test_another_annotator_starts_without_this_ones_head(
    crowd: list[Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = head()
    services.activate_head(one.version)
    with monkeypatch.context() as another:
        switch_annotator(another, "fake-2")
        services.fit_feature_space(allow_fewer=True)
        assert active() == "identity"
        with pytest.raises(ConflictError, match="is for 512 features of fake:fake-1"):
            services.activate_head(one.version)
    services.fit_feature_space()
    assert active() == one.version


# Broken off ---------------------------------------------------------------------------


def test_after_it_broke_off_it_goes_on_where_it_ended(
    work: Work,
    alice: Profile,
    crowd: list[Profile],
    make_photo: MakePhoto,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, index_people = head(), services.index_people
    before = answer(alice, crowd[0])
    done: list[Any] = []

    def killed(batch: Any, **options: Any) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        index_people(batch, **options)
        done.extend(batch)

    monkeypatch.setattr(indexing, "INDEX_BATCH", 1)
    with monkeypatch.context() as dying:
        dying.setattr(indexing, "index_people", killed)
        with pytest.raises(KeyboardInterrupt):
            services.activate_head(one.version)
    assert scores(answer(alice, crowd[0])) == scores(before)
    late = next(person for person in crowd if person.pk not in done)
    make_photo(late)
    work()  # is indexed in both meanwhile, so that there is nothing left to do
    told: list[int] = []
    space = services.activate_head(one.version, step=told.append)
    assert sum(told) == 2
    assert active() == one.version
    assert looks(space).keys() == {person.pk for person in crowd}
    assert Space.objects.filter(status=Space.Status.BUILDING).count() == 0
    seen = spaces.feature_space(space)
    mine = spaces.sightings_in(seen, late.photos.values_list("pk", flat=True))
    assert len(mine) == 2
    assert PersonVector.objects.get(space=space, profile=late).photos == 2


def test_of_two_at_a_time_the_slower_one_gives_up(
    crowd: list[Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = head(1), head(2)
    index = indexing._index

    def overtaken(*args: Any, **options: Any) -> None:
        monkeypatch.setattr(indexing, "_index", index)
        services.activate_head(quick.version)
        index(*args, **options)

    monkeypatch.setattr(indexing, "_index", overtaken)
    with pytest.raises(ConflictError, match="took over"):
        services.activate_head(slow.version)
    assert active() == quick.version
    slow.refresh_from_db()
    assert slow.status == Head.Status.TRAINED


def test_to_activate_what_is_active_changes_nothing(crowd: list[Profile]) -> None:
    one = head()
    space = services.activate_head(one.version)
    places = looks(space)
    assert services.activate_head(one.version) == space
    assert looks(space) == places


# Refusals -----------------------------------------------------------------------------


def refusal(version: str) -> str:
    before = spaces.active_space()
    with pytest.raises((ConflictError, NotFoundError, heads.WeightsError)) as refused:
        services.activate_head(version)
    assert spaces.active_space() == before
    assert not Space.objects.filter(status=Space.Status.BUILDING).exists()
    return str(refused.value)


def test_a_head_that_is_worse_on_any_headline_is_refused(crowd: list[Profile]) -> None:
    worse = head(recall_at_1=0.9, map_at_r=0.2)
    said = refusal(worse.version)
    assert "worse than identity: map_at_r 0.2000 instead of 0.2500" in said
    assert "recall" not in said
    assert "--force" in said
    services.activate_head(worse.version, force=True)
    assert active() == worse.version


def test_a_head_that_was_not_measured_beside_the_active_one_is_refused(
    crowd: list[Profile],
) -> None:
    services.activate_head(head(1).version)
    assert "not measured beside h-" in refusal(head(2).version)
    measured = head(2, rival=active())
    services.activate_head(measured.version)
    assert active() == measured.version


def test_an_equal_head_is_not_worse(crowd: list[Profile]) -> None:
    services.activate_head(head(recall_at_1=0.5, map_at_r=0.25).version)


def test_a_head_for_others_features_is_refused(crowd: list[Profile]) -> None:
    assert "for 768 features" in refusal(head(width=768).version)
    assert "of local:qwen" in refusal(head(1, annotator="local:qwen").version)


def test_a_head_that_nobody_knows_is_refused(crowd: list[Profile]) -> None:
    assert "--list" in refusal("h-0123456789")


def _remove(name: str) -> None:
    default_storage.delete(name)


def _cut(name: str) -> None:
    path = Path(default_storage.path(name))
    path.write_bytes(path.read_bytes()[:-100])


def _flip(name: str) -> None:
    path = Path(default_storage.path(name))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_remove, _cut, _flip])
def test_broken_weights_are_refused_and_training_again_mends_them(
    crowd: list[Profile], damage: Callable[[str], None]
) -> None:
    one = head()
    damage(str(one.weights.name))
    said = refusal(one.version)
    assert "are missing" in said or "are damaged" in said
    assert "backup" in said
    assert "trainhead" in said
    mended = head()
    assert mended.pk == one.pk
    services.activate_head(mended.version)
    assert active() == one.version


def test_weights_that_go_missing_stop_searches_loudly_and_can_be_left(
    alice: Profile, crowd: list[Profile], caplog: pytest.LogCaptureFixture
) -> None:
    one = head()
    services.activate_head(one.version)
    heads.projection.cache_clear()
    default_storage.delete(str(one.weights.name))
    with pytest.raises(UnavailableError), caplog.at_level(logging.ERROR):
        answer(alice, crowd[0])
    assert f"head {one.version} are missing" in caplog.text
    services.activate_head("untrained")
    assert answer(alice, crowd[0]).matches


def test_a_head_that_cannot_be_loaded_here_hinders_nobody_while_it_is_built(
    work: Work,
    crowd: list[Profile],
    make_person: MakePerson,
    make_photo: MakePhoto,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = head()

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(indexing, "_index", killed)
        with pytest.raises(KeyboardInterrupt):
            services.activate_head(one.version)
    heads.projection.cache_clear()
    default_storage.delete(str(one.weights.name))
    newcomer = make_person()
    make_photo(newcomer)
    work()
    assert newcomer.vectors.get().space == spaces.active_space()


def test_two_heads_of_one_annotator_are_never_active(db: None) -> None:
    head(1), head(2)
    with pytest.raises(IntegrityError), transaction.atomic():
        Head.objects.update(status=Head.Status.ACTIVE)


# The command --------------------------------------------------------------------------


def test_the_command_activates_and_lists(
    crowd: list[Profile], capsys: pytest.CaptureFixture[str]
) -> None:
    one = head()
    call_command("activatemodel", one.version)
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "model": one.version,
        "version": spaces.active_space().version,
        "people": 5,
    }
    call_command("activatemodel", list=True)
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["head"] == one.version
    assert listed["status"] == "active"
    assert listed["headlines"]["map_at_r"] == 0.26


def test_the_command_says_what_is_wrong(crowd: list[Profile]) -> None:
    with pytest.raises(CommandError, match="worse"):
        call_command("activatemodel", head(map_at_r=0).version, stderr=io.StringIO())
    call_command("activatemodel", head().version, force=True)
    with pytest.raises(CommandError, match="--list"):
        call_command("activatemodel")


def test_operators_see_heads_and_change_none(admin_client: Web) -> None:
    one = head()
    folder = "/admin/matching/head/"
    listed = admin_client.get(folder).content.decode()
    assert one.version in listed
    assert "map_at_r 0.260, recall_at_1 0.510" in listed
    assert admin_client.get(f"{folder}{one.pk}/change/").status_code == 200
    assert admin_client.post(f"{folder}{one.pk}/change/", {}).status_code == 403
    assert admin_client.post(f"{folder}{one.pk}/delete/", {}).status_code == 403


def test_a_kept_head_says_whose_it_is(db: None) -> None:
    one = head()
    assert (one.annotator, one.width, one.status) == (ANNOTATOR, 512, "trained")
    assert one.weights.name == f"heads/{one.version}.npz"
    assert heads.load(one).version(ANNOTATOR) == one.version
