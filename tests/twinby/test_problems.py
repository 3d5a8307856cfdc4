"""Every error in one shape, and nothing in it that is nobody's business."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import UnreadablePostError
from psycopg import errors
from psycopg_pool import PoolTimeout
from rest_framework.test import APIClient

from profiles import services
from profiles.models import Profile
from tests.conftest import MakePerson, photo_bytes
from twinby.errors import (
    ConflictError,
    DomainError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from twinby.rest.problems import problem_response

LIVEZ = "/v1/livez"


def check(answer: Any, status: int, kind: str) -> dict[str, Any]:
    """The problem, after it has been found to be one of RFC 9457."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:twinby:problem:{kind}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


def broken_by(monkeypatch: pytest.MonkeyPatch, error: Exception) -> APIClient:
    """A client for whom every people's view fails with this error."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("profiles.access.person_of", fail)
    return APIClient(raise_request_exception=False)


def get_person(anonymous: APIClient, api: Any) -> Any:
    anonymous.credentials(**api._credentials)
    return anonymous.get(f"/v1/people/{uuid.uuid4()}")


# Django's own -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/nothing", "/v1/people/", "/v2/people"]
)
def test_an_unknown_address_is_a_problem(db: None, path: str) -> None:
    check(APIClient().get(path), 404, "not-found")


def test_a_wrong_host_is_a_problem(db: None) -> None:
    answer = APIClient().get("/v1/people", HTTP_HOST="evil.example")
    body = check(answer, 400, "malformed-request")
    assert "evil" not in str(body)


def test_a_surprise_is_a_problem_without_details(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    api_500 = broken_by(monkeypatch, ValueError("the secret recipe"))
    body = check(get_person(api_500, api), 500, "internal-error")
    assert "recipe" not in str(body)


# Of the API ---------------------------------------------------------------------------


def test_an_unknown_method_is_a_problem(api: APIClient) -> None:
    check(api.put("/v1/people", {}, format="json"), 405, "method-not-allowed")
    check(api.delete("/v1/tokens"), 405, "method-not-allowed")
    answer = APIClient().post(LIVEZ)
    check(answer, 405, "method-not-allowed")
    assert "GET" in answer["Allow"]


def test_an_unknown_media_type_is_a_problem(api: APIClient) -> None:
    answer = api.generic("POST", "/v1/people", "<a/>", content_type="text/xml")
    check(answer, 415, "unsupported-media-type")


def test_a_wish_for_another_media_type_is_a_problem(api: APIClient) -> None:
    answer = api.get(f"/v1/people/{uuid.uuid4()}", HTTP_ACCEPT="text/html")
    check(answer, 406, "not-acceptable")


MALFORMED: dict[str, Any] = {
    "cut short": b'{"gender": "wom',
    "no JSON": b"gender=woman",
    "NaN": b'{"latitude": NaN}',
    "not UTF-8": b'{"about": "\xff\xfe"}',
    "nested": b"[" * 100_000 + b"]" * 100_000,
    "a number of 10,000 digits": b'{"latitude": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_json_is_a_problem(api: APIClient, body: Any) -> None:
    answer = api.generic("POST", "/v1/people", body, content_type="application/json")
    check(answer, 400, "malformed-request")


def test_an_unknown_charset_is_a_problem(api: APIClient) -> None:
    kind = "application/json; charset=klingon"
    answer = api.generic("POST", "/v1/people", "{}", content_type=kind)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"


def test_a_body_too_large_is_refused_before_it_is_read(
    api: APIClient, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    answer = api.post("/v1/people", {"about": "x" * 1_000}, format="json")
    check(answer, 413, "body-too-large")


def test_wrong_fields_are_named_with_their_path(api: APIClient, alice: Profile) -> None:
    body = {
        "person_id": str(alice.pk),
        "positive_photo_ids": [str(uuid.uuid4()), "x"],
        "filters": {"age_min": 1},
    }
    answer = api.post("/v1/search/visual", body, format="json")
    problem = check(answer, 400, "invalid-request")
    fields = {error["field"] for error in problem["errors"]}
    assert fields == {"positive_photo_ids.1", "filters.age_min"}


HALF = "\\ud800"  # of a pair: JSON may say it, UTF-8 cannot
SEARCH = "/v1/search/visual"
HALVES: dict[str, tuple[str, str]] = {
    "a field's name": ("/v1/people", f'{{"{HALF}": 1}}'),
    "a gender": ("/v1/people", f'{{"gender": "{HALF}"}}'),
    "a text": ("/v1/people", f'{{"about": "{HALF}"}}'),
    "a client": ("/v1/tokens", f'{{"client_id": "{HALF}"}}'),
    "a photo": (SEARCH, f'{{"positive_photo_ids": ["{HALF}"]}}'),
    "an inner field's name": (SEARCH, f'{{"filters": {{"{HALF}": 1}}}}'),
    "a filter": (SEARCH, f'{{"filters": {{"genders": ["{HALF}"]}}}}'),
    "a wish": (SEARCH, f'{{"filters": {{"must": ["{HALF}"]}}}}'),
    "a weight's name": (SEARCH, f'{{"weights": {{"{HALF}": "{HALF}"}}}}'),
}


@pytest.mark.parametrize(("path", "body"), HALVES.values(), ids=HALVES.keys())
def test_half_a_character_is_refused_and_can_be_told(
    api: APIClient, path: str, body: str
) -> None:
    answer = api.generic("POST", path, body, content_type="application/json")
    check(answer, 400, "invalid-request")


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"age_min": 41, "age_max": 40}, "filters.age_min"),
        ({"genders": ["woman"] * 4}, "filters.genders"),
    ],
)
def test_a_search_takes_no_filter_that_makes_no_sense(
    api: APIClient, alice: Profile, filters: dict[str, Any], field: str
) -> None:
    body = {
        "person_id": str(alice.pk),
        "positive_photo_ids": [str(uuid.uuid4())],
        "filters": filters,
    }
    answer = api.post(SEARCH, body, format="json")
    problem = check(answer, 400, "invalid-request")
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize("number", ["nan", "inf", 10**400])
def test_a_search_takes_no_number_that_is_none(
    api: APIClient, alice: Profile, number: Any
) -> None:
    body = {
        "person_id": str(alice.pk),
        "positive_photo_ids": [str(uuid.uuid4())],
        "filters": {"radius_km": number},
        "weights": {"visual": number},
    }
    answer = api.post("/v1/search/visual", body, format="json")
    problem = check(answer, 400, "invalid-request")
    fields = {error["field"] for error in problem["errors"]}
    assert fields == {"filters.radius_km", "weights.visual"}


@pytest.mark.parametrize(
    ("error", "cause", "logged"),
    [
        (OperationalError, errors.QueryCanceled, "QueryCanceled, SQLSTATE 57014"),
        (OperationalError, PoolTimeout, "PoolTimeout, SQLSTATE None"),
        (InterfaceError, None, "InterfaceError, SQLSTATE None"),
    ],
)
def test_a_database_that_is_down_is_a_problem_and_is_logged(
    api: APIClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    error: type[Exception],
    cause: type[Exception] | None,
    logged: str,
) -> None:
    """By psycopg's name, with the view, and without a word of the message."""
    wrapper = error("password=hunter2 host=db.example")
    wrapper.__cause__ = cause("Key (name)=(hunter2)") if cause else None
    body = check(get_person(broken_by(monkeypatch, wrapper), api), 503, "unavailable")
    assert f"The database does not answer: {logged}, in PersonView" in caplog.text
    assert "hunter2" not in caplog.text + str(body)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (PermissionDenied(), 403, "forbidden"),
        (RequestDataTooBig(), 413, "body-too-large"),
        (UnreadablePostError(), 400, "malformed-request"),
        (InvalidError("x"), 400, "invalid-request"),
        (ForbiddenError("x"), 403, "forbidden"),
        (NotFoundError("x"), 404, "not-found"),
        (ConflictError("x"), 409, "conflict"),
        (UnavailableError("x"), 503, "unavailable"),
        (ConflictError("x", kind="too-many-photos"), 409, "too-many-photos"),
    ],
)
def test_what_is_expected_has_its_own_kind(
    api: APIClient,
    monkeypatch: pytest.MonkeyPatch,
    *,
    error: Exception,
    status: int,
    kind: str,
) -> None:
    check(get_person(broken_by(monkeypatch, error), api), status, kind)


def test_a_domain_error_may_carry_more() -> None:
    error = DomainError("Not yet.", kind="not-ready", photo_ids=["1"])
    answer = problem_response(error, {})
    assert answer is not None
    assert answer.data == {
        "type": "urn:twinby:problem:not-ready",
        "title": "Not ready",
        "status": 400,
        "detail": "Not yet.",
        "photo_ids": ["1"],
    }


# What is never said -------------------------------------------------------------------


def test_no_error_and_no_log_line_tells_of_people_or_secrets(
    api: Any, make_person: MakePerson, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="django.request")
    client, secret = services.create_client("a client's name")
    person = make_person(about="Ask me about my otters")
    token = api._credentials["HTTP_AUTHORIZATION"].split()[1]
    said = ""
    for answer in (
        api.post(
            "/v1/tokens",
            {"client_id": str(client.pk), "client_secret": secret + "x"},
            format="json",
        ),
        api.patch(
            f"/v1/people/{person.pk}",
            {"about": "otters", "latitude": 51.507351},
            format="json",
        ),
        api.patch(f"/v1/people/{person.pk}", {"about": ["otters"]}, format="json"),
        api.post(f"/v1/people/{person.pk}/photos", {"file": "otters"}),
        api.post("/v1/people", {"gender": "otters"}, format="json"),
        api.get(f"/v1/photos/{uuid.uuid4()}/image?ticket=otters"),
        api.generic("POST", "/v1/people", photo_bytes(1).hex()),
    ):
        assert answer.status_code >= 400
        said += answer.content.decode()
    said += caplog.text.replace(str(person.pk), "")
    assert "WARNING" in caplog.text
    for private in (secret, token, "a client's name", "51.5", photo_bytes(1).hex()):
        assert private not in said
    assert "otters" not in said.replace('\\"otters\\" is not a valid choice', "")
