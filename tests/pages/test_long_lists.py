"""Admin's lists of a row per photo: what they ask a database of millions of rows."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client as Web
from django.test.utils import CaptureQueriesContext

from annotation.admin import lists
from annotation.models import Annotation, Attempt
from profiles.models import Photo, Profile
from tests.pages.conftest import MakeCrowd

ATTEMPTS = "/admin/annotation/attempt/"
READINGS = "/admin/annotation/annotation/"
SINCE = "__gte=2026-01-01+00:00:00%2B00:00"
USES = {
    ATTEMPTS: ["", "?p=2", "?backend=fake", "?outcome=failed", f"?created_at{SINCE}"],
    READINGS: ["", "?status__exact=done", "?backend=fake", f"?updated_at{SINCE}"],
}


def asked(web: Web, path: str, table: str) -> list[str]:
    """The statements on a table that a page needs."""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert web.get(path).status_code == 200
    return [q["sql"] for q in queries if f'FROM "{table}"' in q["sql"]]


@pytest.fixture
def ledger(db: None) -> None:
    Attempt.objects.bulk_create(
        Attempt(backend="fake", model="fake-1", outcome="done") for _ in range(60)
    )


@pytest.mark.parametrize(
    "path",
    [page + use for page, uses in USES.items() for use in uses],
)
@pytest.mark.usefixtures("ledger")
def test_a_long_list_is_neither_counted_nor_gone_through(
    admin_client: Web, path: str
) -> None:
    table = "annotation_attempt" if "attempt" in path else "annotation_annotation"
    count, *page = asked(admin_client, path, table)
    assert re.search(rf"COUNT\(\*\) FROM \(SELECT .* LIMIT {lists.NEWEST}\)", count)
    assert len(page) <= 1
    for statement in page:
        assert "DISTINCT" not in statement
        assert "COUNT" not in statement
        newest = rf'ORDER BY "{table}"."id" DESC( LIMIT \d+( OFFSET 50)?)?$'
        assert re.search(newest, statement)


@pytest.mark.usefixtures("ledger")
def test_a_long_list_ends_after_the_newest_and_says_so(
    admin_client: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "NEWEST", 55)
    page = admin_client.get(f"{ATTEMPTS}?p=2")
    assert len(page.context["cl"].result_list) == 5
    assert "The newest attempts, 55 at the most" in page.content.decode()


@pytest.fixture
def photo(make_crowd: MakeCrowd) -> Photo:
    people: list[Profile] = make_crowd(2)
    return people[0].photos.get()


def test_readings_are_found_by_the_whole_id_of_a_photo(desk: Web, photo: Photo) -> None:
    (statement,) = asked(desk, f"{READINGS}?q={photo.pk}", "annotation_annotation")[1:]
    assert re.search(r'"photo_id" = \'[0-9a-f-]+\'', statement)  # an index does it
    found = desk.get(f"{READINGS}?q=+{str(photo.pk).upper()}+").context["cl"]
    assert [row.photo_id for row in found.result_list] == [photo.pk]
    none = desk.get(f"{READINGS}?q={str(photo.pk)[:8]}").context["cl"]
    assert not none.result_list


@pytest.mark.parametrize(
    ("outcome", "found"), [("failed", {"busy"}), ("done", {"done"}), ("busy", {"busy"})]
)
@pytest.mark.usefixtures("ledger")
def test_tries_are_chosen_by_what_became_of_them(
    admin_client: Web, outcome: str, found: set[str]
) -> None:
    Attempt.objects.create(backend="remote", model="m", outcome="busy")
    Attempt.objects.create(backend="remote", model="m", outcome="copied")
    rows = admin_client.get(f"{ATTEMPTS}?outcome={outcome}").context["cl"].result_list
    assert {row.outcome for row in rows} == found


def test_tries_are_chosen_by_the_server_that_was_asked(
    admin_client: Web, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINBY_REMOTE_PROVIDERS", "gpu1,router")
    for name in ("gpu1", "router"):
        Attempt.objects.create(backend="remote", model="m", provider=name)
    rows = admin_client.get(f"{ATTEMPTS}?provider=router").context["cl"].result_list
    assert [row.provider for row in rows] == ["router"]


def test_readings_are_chosen_by_their_back_end(desk: Web, photo: Photo) -> None:
    Annotation.objects.filter(photo=photo).update(backend="small")
    rows = desk.get(f"{READINGS}?backend=small").context["cl"].result_list
    assert [row.photo_id for row in rows] == [photo.pk]
