"""From an upload to a row that was read by a server over HTTP, with its ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from annotation import services
from annotation.backends import annotator_version, close_annotators
from annotation.compact import LINES
from annotation.models import Annotation, Attempt
from annotation.schema import NOT_VISIBLE
from profiles.models import Photo, Profile
from tests.annotation.remote.conftest import KEY
from tests.annotation.remote.modelserver import (
    SURE,
    ModelServer,
    refusal,
    saying,
    sheet,
    written,
)
from tests.conftest import MakePhoto

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _remote(
    settings: Any, server: ModelServer, providers: Callable[..., None]
) -> Iterator[None]:
    """The configured annotator is that of the server."""
    providers(server)
    settings.ANNOTATOR = "remote"
    yield
    close_annotators()


@pytest.fixture
def uploaded(alice: Profile, make_photo: MakePhoto) -> Photo:
    return make_photo(alice, published=False)


def test_an_upload_is_read_by_a_server_and_its_tries_are_kept(
    server: ModelServer, uploaded: Photo
) -> None:
    row = Annotation.objects.get(photo=uploaded)
    server.do(refusal(500))
    assert services.annotate([row.pk]) == 1
    row.refresh_from_db()
    version = annotator_version("remote")
    assert (row.backend, row.model, row.prompt_version) == (
        "remote",
        version.model,
        version.prompt,
    )
    assert row.status == Annotation.Status.DONE
    assert row.source == "probabilities"
    assert row.attributes["hair_color"]["black"] == pytest.approx(SURE, abs=1e-4)
    assert row.mass["hair_color"] == pytest.approx(0.95, abs=1e-4)
    assert row.features is None
    assert row.tokens == 1070
    tries = Attempt.objects.order_by("pk")
    assert [(t.provider, t.outcome, t.tokens_out) for t in tries] == [
        ("gpu1", "server-error", 0),
        ("gpu1", "done", 170),
    ]
    assert float(row.cost_usd) == pytest.approx(0.0026)


def test_without_probabilities_the_row_says_so(
    server: ModelServer, uploaded: Photo
) -> None:
    text = written(LINES, sheet(hair_color="I"))
    server.do(*[saying(text, choice={"logprobs": None})] * 2)
    row = Annotation.objects.get(photo=uploaded)
    services.annotate([row.pk])
    row.refresh_from_db()
    assert (row.source, row.mass) == ("one_hot", {})
    assert row.attributes["hair_color"][NOT_VISIBLE] == 1


def test_a_refused_photo_fails_with_its_reason_and_costs_in_the_ledger(
    server: ModelServer, uploaded: Photo
) -> None:
    server.do(*[saying("I'm sorry, I can't help with that.")] * 2)
    row = Annotation.objects.get(photo=uploaded)
    services.annotate([row.pk])
    row.refresh_from_db()
    assert (row.status, row.failure) == (Annotation.Status.FAILED, "refused")
    assert [t.outcome for t in Attempt.objects.all()] == ["refused"] * 2
    assert all(t.cost_usd > 0 for t in Attempt.objects.all())


def test_a_wrong_key_leaves_the_row_to_be_read_without_a_counted_attempt(
    server: ModelServer, uploaded: Photo, caplog: pytest.LogCaptureFixture
) -> None:
    server.do(refusal(401, f"no such key: {KEY}"))
    row = Annotation.objects.get(photo=uploaded)
    services.annotate([row.pk])
    row.refresh_from_db()
    assert (row.status, row.attempts) == (Annotation.Status.PENDING, 0)
    assert KEY not in caplog.text


def test_the_daily_budget_ends_before_the_server_is_asked(
    settings: Any, server: ModelServer, uploaded: Photo
) -> None:
    settings.ANNOTATION_DAILY_BUDGET_USD = 0.01  # less than one photo may cost
    row = Annotation.objects.get(photo=uploaded)
    services.annotate([row.pk])
    row.refresh_from_db()
    assert row.status == Annotation.Status.PENDING
    assert server.asked == []
