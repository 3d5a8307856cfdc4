"""How the first public attempt at this product fails around its ranking.

Bugs 1 to 6 and 13 are of pure thought: tests/matching/test_peer_bugs.py. Of the others,
what is not here is shown elsewhere, or cannot happen:

7. Errors are swallowed. A surprise while answering:
   tests/twinby/test_problems.py::test_a_surprise_is_a_problem_without_details.
   A name that is not defined: ruff and mypy, in CI.
9. One bad file fails the whole batch. Of files in the storage and in the model:
   tests/annotation/test_services.py::test_one_bad_photo_fails_alone_with_its_reason and
   test_a_missing_file_fails_alone; tests/annotation/test_small.py. Face crops of
   another scale, a cosine that says who is the same person: we recognise nobody.
10. Uploads to search by are ignored:
   tests/matching/test_search_api.py::test_an_anchor_can_be_searched_by_and_is_not_found.
11. The model runs in the web server, again for every search:
   tests/test_architecture.py::test_a_web_process_loads_no_model_runtime,
   tests/annotation/test_services.py::test_running_twice_equals_running_once.
12. Uploads are never deleted: tests/profiles/test_uploads_api.py and test_photos.py.
   Ethnicity is inferred: tests/annotation/test_schema.py, the deny list.
13. Unknown names in a search, a correction, a reading:
   tests/matching/test_search_api.py::test_it_refuses_what_it_does_not_understand,
   tests/annotation/test_services.py::test_a_correction_that_cannot_be_is_refused and
   test_a_reading_off_the_schema_is_a_failure_not_a_row.
14. Every query reads every profile into Python: here the database scores, and
   `./run bench search` measures it. A fresh clone does not start:
   tests/twinby/test_run.py.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from dramatiq import Broker
from rest_framework.test import APIClient

from annotation import services as annotation
from annotation.models import Annotation
from annotation.schema import BY_NAME
from matching.models import PersonVector
from profiles.models import Photo, Profile
from tests.conftest import MakePerson, MakePhoto, photo_bytes

ROOT = Path(__file__).resolve().parents[1]
Work = Callable[[], None]


def upload(api: APIClient, owner: Profile, data: bytes, name: str = "photo.png") -> Any:
    file = SimpleUploadedFile(name, data, "image/png")
    return api.post(f"/v1/people/{owner.pk}/photos", {"file": file})


def search(api: APIClient, viewer: Profile, liked: Photo) -> Any:
    body = {"person_id": str(viewer.pk), "positive_photo_ids": [str(liked.pk)]}
    return api.post("/v1/search/visual", body, format="json")


def found(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [match["user_id"] for match in answer.json()["matched_users"]]


def strict_json(answer: Any) -> Any:
    """The body by RFC 8259, which knows no NaN and no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert answer.status_code == 200, answer.content
    return json.loads(answer.content, parse_constant=refuse)


@pytest.mark.django_db(transaction=True)
def test_bug_7_a_job_that_could_not_be_queued_is_logged_and_kept(
    broker: Broker,
    api: APIClient,
    alice: Profile,
    *,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("the queue does not answer")

    monkeypatch.setattr(broker, "enqueue", refuse)
    assert upload(api, alice, photo_bytes(1)).status_code == 201
    errors = [entry for entry in caplog.records if entry.levelname == "ERROR"]
    assert any("the queue does not answer" in entry.getMessage() for entry in errors)
    assert Annotation.objects.get().status == Annotation.Status.PENDING


def test_bug_8_a_photo_with_a_face_is_answered_in_json(
    api: APIClient, alice: Profile, settings: Any
) -> None:
    settings.ANNOTATOR = "small"  # the fake one looks for no face
    portrait = min((ROOT / "demo" / "photos").rglob("*.webp"))
    photo_id = upload(api, alice, portrait.read_bytes()).json()["id"]
    row = Annotation.objects.get(photo_id=photo_id)
    annotation.annotate([row.pk])
    row.refresh_from_db()
    assert row.gates["face_count"] == "pass"
    answer = strict_json(api.get(f"/v1/photos/{photo_id}"))
    assert answer["reading"] == "done"
    assert answer["attributes"].keys() == BY_NAME.keys()


def test_bug_8_a_search_is_answered_in_json_with_every_addend(
    work: Work,
    api: APIClient,
    alice: Profile,
    make_person: MakePerson,
    make_photo: MakePhoto,
) -> None:
    liked, _other = (make_photo(make_person()) for _ in range(2))
    work()
    (match,) = strict_json(search(api, alice, liked))["matched_users"]
    assert all(isinstance(a["amount"], float) for a in match["contributions"])
    assert {a["source"] for a in match["contributions"]} >= {"visual", "attribute"}


def test_bug_9_a_bad_upload_takes_no_other_along(
    work: Work, api: APIClient, alice: Profile
) -> None:
    bodies = [photo_bytes(1), b"no photo at all", photo_bytes(2)]
    statuses = [upload(api, alice, data).status_code for data in bodies]
    assert statuses == [201, 415, 201]
    work()
    assert list(Annotation.objects.values_list("status", flat=True)) == ["done"] * 2


def test_bug_9_photos_that_look_alike_are_of_whoever_says_so(
    api: APIClient, make_person: MakePerson
) -> None:
    for person in (make_person(), make_person()):
        assert upload(api, person, photo_bytes(1)).status_code == 201


def test_bug_10_a_photo_that_nobody_had_read_is_read_and_found(
    work: Work,
    api: APIClient,
    alice: Profile,
    make_person: MakePerson,
    make_photo: MakePhoto,
) -> None:
    bella = make_person()
    liked, forgotten = make_photo(make_person()), make_photo(bella)
    work()
    Annotation.objects.filter(photo=forgotten).delete()
    PersonVector.objects.filter(profile=bella).delete()
    assert found(search(api, alice, liked)) == []
    assert annotation.sweep(older_than=dt.timedelta(0), limit=10) == 1
    work()
    assert found(search(api, alice, liked)) == [str(bella.pk)]


@pytest.mark.parametrize(
    "name",
    ["../../manage.py", "/etc/passwd", "temp_anna.png", "C:\\anna.png", "%2e%2e"],
)
def test_bug_12_the_name_of_an_upload_is_in_no_path(
    api: APIClient, alice: Profile, media: Path, name: str
) -> None:
    first = upload(api, alice, photo_bytes(1), name).json()["id"]
    second = upload(api, alice, photo_bytes(2), name).json()["id"]
    assert first != second
    written = [path for path in media.parent.rglob("*") if path.is_file()]
    own = re.compile(r"photos/\w\w/([0-9a-f-]{36})/(display\.webp|annotation\.jpg)")
    matches = [own.fullmatch(str(path.relative_to(media))) for path in written]
    assert [m[1] for m in matches if m].count(first) == 2
    assert len([m for m in matches if m]) == len(written) == 4


def test_bug_12_no_address_serves_the_folder_of_photos(
    api: APIClient, alice: Profile, media: Path
) -> None:
    upload(api, alice, photo_bytes(1))
    files = [path.relative_to(media) for path in media.rglob("*") if path.is_file()]
    assert files
    for file in files:
        for root in ("", "media/", "static/", "static/../", "temp_images/", "v1/"):
            assert api.get(f"/{root}{file}").status_code == 404
