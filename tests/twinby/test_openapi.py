"""The OpenAPI schema: whole, free of warnings, and true to what is answered."""

from __future__ import annotations

import io
import json
import re
import uuid
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.urls import reverse
from rest_framework.test import APIClient

from profiles.models import Profile
from tests.conftest import MakePerson, MakePhoto
from twinby import urls

METHODS = {"get", "post", "patch", "delete", "put"}
OPEN = {"create_token", "get_photo_image", "livez", "readyz"}


@pytest.fixture(scope="module")
def schema() -> Any:
    """The exported schema; generating it must warn of nothing."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        call_command("exportopenapi")
    assert err.getvalue() == ""
    return yaml.safe_load(out.getvalue())


def operations(schema: Any) -> dict[str, Any]:
    return {
        operation["operationId"]: operation
        for path in schema["paths"].values()
        for method, operation in path.items()
        if method in METHODS
    }


def test_it_is_the_same_in_json(
    schema: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("exportopenapi", format="json")
    printed = capsys.readouterr()
    assert json.loads(printed.out) == schema
    assert printed.err == ""


def test_every_path_of_the_api_is_in_it(schema: Any) -> None:
    paths = {f"/v1/{pattern.pattern}" for pattern in urls.api} | {
        "/v1/livez",
        "/v1/readyz",
    }
    documented = {re.sub(r"{(\w+)}", r"<uuid:\1>", path) for path in schema["paths"]}
    assert documented == paths


def test_every_operation_says_what_it_does_and_how_it_fails(schema: Any) -> None:
    for name, operation in operations(schema).items():
        assert operation["description"], name
        assert "default" in operation["responses"], name
        assert len(operation["responses"]) >= 2, name


def test_every_operation_asks_for_a_token_but_the_open_ones(schema: Any) -> None:
    every = operations(schema)
    secured = {name for name, operation in every.items() if operation.get("security")}
    assert secured == every.keys() - OPEN
    assert all(every[name]["security"] == [{"token": []}] for name in secured)


def test_every_reference_leads_somewhere(schema: Any) -> None:
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema)))
    assert references
    assert references <= schema["components"]["schemas"].keys()


def test_the_pages_of_the_schema_answer(db: None) -> None:
    assert APIClient().get(reverse("schema")).status_code == 200
    docs = APIClient().get(reverse("docs"))
    assert docs.status_code == 200
    assert b"//cdn" not in docs.content


# True to what is answered -------------------------------------------------------------


def resolved(schema: Any, part: Any) -> Any:
    if "$ref" not in part:
        return part
    return schema["components"]["schemas"][part["$ref"].rsplit("/", 1)[-1]]


def check(schema: Any, operation_id: str, answer: Any) -> None:
    """An answer has a documented status and exactly the documented fields."""
    responses = operations(schema)[operation_id]["responses"]
    documented = responses.get(str(answer.status_code), responses["default"])
    content = documented.get("content")
    if content is None:
        assert answer.content == b""
        return
    assert answer["Content-Type"] in content
    if "json" not in answer["Content-Type"]:
        return
    part = resolved(schema, content[answer["Content-Type"]]["schema"])
    body = answer.json()
    assert set(part["required"]) <= body.keys()
    if not part.get("additionalProperties"):
        assert body.keys() <= part["properties"].keys()


def test_answers_are_as_documented(
    schema: Any,
    api: APIClient,
    alice: Profile,
    make_person: MakePerson,
    make_photo: MakePhoto,
) -> None:
    photo = make_photo(alice)
    person, nobody = f"/v1/people/{alice.pk}", f"/v1/people/{uuid.uuid4()}"
    shown = api.get(f"/v1/photos/{photo.pk}")
    declared = {"birth_date": "1990-01-01", "gender": "man", "seeking": ["woman"]}
    batch = {"photo_ids": [str(photo.pk)]}
    event, of_alice = str(uuid.uuid4()), f"person_id={alice.pk}"
    like = {"event_id": event, "kind": "like", "user_id": str(make_person().pk)}
    said = {"person_id": str(alice.pk), "events": [like]}
    for name, answer in [
        ("livez", api.get("/v1/livez")),
        ("readyz", api.get("/v1/readyz")),
        ("create_token", api.post("/v1/tokens", {}, format="json")),
        ("create_person", api.post("/v1/people", declared, format="json")),
        ("create_person", api.post("/v1/people", {}, format="json")),
        ("get_person", api.get(person)),
        ("get_person", api.get(nobody)),
        ("change_person", api.patch(person, {"about": "x"}, format="json")),
        ("change_person", api.patch(person, {"abuot": "x"}, format="json")),
        ("add_photo", api.post(f"{person}/photos", {})),
        ("add_anchor", api.post("/v1/anchors", {})),
        ("get_photo", shown),
        ("get_photo_image", APIClient().get(shown.json()["url"])),
        ("process_photos", api.post("/v1/photos/process_batch", batch, format="json")),
        ("search_visual", api.post("/v1/search/visual", {}, format="json")),
        ("give_feedback", api.post("/v1/feedback", said, format="json")),
        ("give_feedback", api.post("/v1/feedback", {}, format="json")),
        ("undo_feedback", api.delete(f"/v1/feedback/{event}?{of_alice}")),
        ("undo_feedback", api.delete(f"/v1/feedback/{uuid.uuid4()}?{of_alice}")),
        ("list_matches", api.get(f"/v1/matches?{of_alice}")),
        ("list_matches", api.get("/v1/matches")),
        ("list_mutual_matches", api.get("/v1/matches/mutual")),
        ("get_preference", api.get(f"{person}/preference")),
        ("reset_preference", api.delete(f"{person}/preference")),
        ("delete_photo", api.delete(f"/v1/photos/{photo.pk}")),
        ("erase_person", api.delete(person)),
    ]:
        check(schema, name, answer)


GIBBERISH: list[Any] = [None, [], {}, "x", 1, True, {"": None}, {"x": "\x00"}, [[{}]]]


def fields_of(schema: Any, operation_id: str) -> set[str]:
    body = operations(schema)[operation_id]["requestBody"]["content"]
    return set(resolved(schema, body["application/json"]["schema"])["properties"])


@pytest.mark.parametrize(
    ("operation_id", "method", "path"),
    [
        ("create_token", "post", "/v1/tokens"),
        ("create_person", "post", "/v1/people"),
        ("change_person", "patch", "/v1/people/{person}"),
        ("process_photos", "post", "/v1/photos/process_batch"),
        ("search_visual", "post", "/v1/search/visual"),
        ("give_feedback", "post", "/v1/feedback"),
    ],
)
def test_gibberish_is_never_a_surprise_to(
    schema: Any,
    api: APIClient,
    alice: Profile,
    *,
    operation_id: str,
    method: str,
    path: str,
) -> None:
    """As a body, and as the value of every field: problems at worst, never a 500."""
    fields = fields_of(schema, operation_id)
    assert fields
    bodies = GIBBERISH + [{name: value} for name in fields for value in GIBBERISH]
    send = getattr(api, method)
    for body in bodies:
        answer = send(path.format(person=alice.pk), body, format="json")
        assert answer.status_code < 500, body
        if answer.status_code >= 400:
            check(schema, operation_id, answer)
