"""Gates are acted on by the version that counts; one that is tried judges nobody."""

from __future__ import annotations

from typing import Any

import pytest

from annotation import services, tasks
from annotation.backends.base import PermanentError
from annotation.models import Annotation
from annotation.schema import Verdict
from annotation.services import gating
from profiles.models import Photo, Profile
from tests.annotation.scripted import ALL_PASS, Script, reading
from tests.conftest import MakePhoto

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def photos(alice: Profile, make_photo: MakePhoto) -> list[Photo]:
    return [make_photo(alice, published=False) for _ in range(4)]


def statuses(photos: list[Photo]) -> list[str]:
    found = dict(Photo.objects.values_list("pk", "status"))
    return [found[photo.pk] for photo in photos]


@pytest.fixture
def tried(photos: list[Photo], script: Script, settings: Any) -> list[Photo]:
    """Photos that `fake` has read while another annotator was the active one."""
    settings.ANNOTATOR = "small"
    script(
        reading(**ALL_PASS),
        reading(nudity=Verdict.FAIL),
        reading(),
        PermanentError("refused"),
    )
    assert services.Run(backend="fake", workers=1).run().read == 3
    return photos


def test_an_annotator_that_is_tried_judges_nobody(
    tried: list[Photo], settings: Any
) -> None:
    services.catch_up()
    assert statuses(tried) == ["pending"] * 4
    assert Annotation.objects.filter(gated=False).count() == 3


@pytest.mark.parametrize("when", ["sweep", "annotate"])
def test_what_it_saw_is_acted_on_once_it_is_the_active_one(
    tried: list[Photo], script: Script, settings: Any, when: str
) -> None:
    settings.ANNOTATOR = "fake"
    if when == "sweep":
        tasks.sweep.fn()
    else:
        services.Run().run()
    assert statuses(tried) == ["approved", "quarantined", "pending", "pending"]
    assert not Annotation.objects.done().filter(gated=False).exists()
    assert services.catch_up() == 0


def test_a_moderators_word_stays_the_last(tried: list[Photo], settings: Any) -> None:
    Photo.objects.filter(pk__in=[photo.pk for photo in tried]).update(
        status=Photo.Status.REJECTED
    )
    settings.ANNOTATOR = "fake"
    assert services.catch_up() == 3
    assert statuses(tried) == ["rejected"] * 4


def test_a_long_trial_is_caught_up_with_in_pieces(
    tried: list[Photo], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gating, "CHUNK", 1)
    settings.ANNOTATOR = "fake"
    assert services.catch_up() == 3
