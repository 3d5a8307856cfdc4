"""The demo: who is in it, loading it, waiting for the worker, and the whole story."""

from __future__ import annotations

import io
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command

from annotation import services as annotation
from annotation.models import Annotation
from demo import accounts, loading, london, reading
from demo.failure import DemoError
from demo.london import Face
from matching.models import Space
from profiles import services
from profiles.models import Client, Gender, Photo, Profile


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setenv("TWINBY_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def few() -> list[Face]:
    """A woman, a man, and one of those whose age the set does not say."""
    wanted = {"001", "004", "031"}
    return [face for face in london.faces() if face.number in wanted]


@pytest.fixture
def client(db: None) -> Client:
    return accounts.client()


def test_the_set_is_whole() -> None:
    faces = london.faces()
    assert len(faces) == 102
    assert [face.number for face in faces if face.age is None] == ["031", "135"]
    for face in faces:
        for expression in loading.EXPRESSIONS:
            assert face.photo(expression)[8:12] == b"WEBP"


def test_every_rater_rated_every_face() -> None:
    numbers = {face.number for face in london.faces()}
    raters = london.raters()
    assert len(raters) == 1114  # of 1,115 one has not said their sex
    for rater in raters:
        assert rater.ratings.keys() == numbers
        assert set(rater.ratings.values()) <= {1, 2, 3, 4, 5, 6, 7}


def test_the_rater_is_the_first_without_ties_and_no_better_one() -> None:
    faces, raters = london.faces(), london.raters()
    rater = london.clear_rater(faces, raters)
    mine = sorted(
        rater.ratings[face.number] for face in faces if face.gender == rater.prefers
    )
    assert mine[4] < mine[5]
    assert mine[-6] < mine[-5]
    earlier = [other for other in raters if other.id < rater.id and other.prefers]
    assert all(london.taste(other, faces).tied for other in earlier)


def test_a_taste_leaves_nobody_out_and_stays_within_one_gender() -> None:
    faces = london.faces()
    rater = london.clear_rater(faces, london.raters())
    taste = london.taste(rater, faces)
    everybody = [*taste.liked, *taste.rest, *taste.disliked]
    assert {face.gender for face in everybody} == {rater.prefers}
    assert len(everybody) == len({f for f in faces if f.gender == rater.prefers})
    worst_liked = min(rater.ratings[face.number] for face in taste.liked)
    best_disliked = max(rater.ratings[face.number] for face in taste.disliked)
    rest = [rater.ratings[face.number] for face in taste.rest]
    assert worst_liked > max(rest)
    assert best_disliked < min(rest)


def test_a_rater_who_prefers_no_one_gender_cannot_be_taken() -> None:
    faces, raters = london.faces(), london.raters()
    either = next(rater for rater in raters if not rater.prefers)
    with pytest.raises(ValueError, match=either.id):
        london.taste(either, faces)


def test_people_are_loaded_as_the_set_says_and_the_rest_is_marked(
    client: Client, few: list[Face]
) -> None:
    assert loading.load(client, few) == 3
    people = {person.about[5:8]: person for person in client.profiles.all()}
    assert {n: p.gender for n, p in people.items()} == {
        "001": "woman",
        "004": "man",
        "031": "man",
    }
    assert people["001"].age() == 24
    assert people["004"].age() == 30
    assert "Age, whom they seek" in people["031"].about
    for person in people.values():
        assert person.synthetic
        assert person.consents
        assert person.seeking == list(Gender)
        assert person.latitude is not None
        sources = person.photos.values_list("status", "approval_source")
        assert list(sources) == [("approved", "curated")] * 2
    assert Profile.objects.searchable().filter(client=client).count() == 3


def test_loading_twice_changes_nothing(client: Client, few: list[Face]) -> None:
    loading.load(client, few)
    before = set(Photo.objects.values_list("pk", "updated_at"))
    assert loading.load(client, few) == 0
    assert set(Photo.objects.values_list("pk", "updated_at")) == before
    assert client.profiles.count() == 3


def test_a_load_that_was_interrupted_is_completed(
    client: Client, few: list[Face]
) -> None:
    loading.load(client, few)
    services.delete_photo(Photo.objects.latest("created_at"))
    assert loading.load(client, few) == 1
    assert Photo.objects.published().count() == 6
    assert client.profiles.count() == 3


def test_a_photo_that_a_moderator_rejected_stays_rejected(
    client: Client, few: list[Face]
) -> None:
    loading.load(client, few)
    photo = Photo.objects.latest("created_at")
    services.reject(photo.pk, reason="no longer wanted")
    assert loading.load(client, few) == 0
    photo.refresh_from_db()
    assert photo.status == Photo.Status.REJECTED


def test_without_a_worker_it_says_so_and_stops(client: Client, few: list[Face]) -> None:
    loading.load(client, few)
    ids = list(Photo.objects.values_list("pk", flat=True))
    with pytest.raises(DemoError, match=r"0 of 6 are\. Is a worker running"):
        reading.read(ids, patience_seconds=0)


def test_a_photo_that_cannot_be_read_is_named_by_its_reason(
    client: Client, few: list[Face]
) -> None:
    loading.load(client, few[:1])
    first, second = Photo.objects.all()
    first.annotation.save("broken", ContentFile(b"nothing"))
    first.save()

    def work() -> None:
        annotation.annotate(list(Annotation.objects.values_list("pk", flat=True)))

    with pytest.raises(DemoError, match="not-an-image: 1"):
        reading.read([first.pk, second.pk], poll=work)


def test_secrets_are_private_and_kept(client: Client, state: Path) -> None:
    known, (name, password) = accounts.credentials(), accounts.moderator()
    assert accounts.credentials() == known
    assert accounts.moderator() == (name, password)
    assert services.authenticate_client(client_id=client.pk, secret=known.secret)
    user = User.objects.get(username=name)
    assert user.is_superuser
    assert user.check_password(password)
    for secret in state.iterdir():
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_lost_state_folder_makes_new_secrets(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = accounts.credentials()
    monkeypatch.setenv("TWINBY_STATE", str(tmp_path / "another"))
    new = accounts.credentials()
    assert new.client_id == old.client_id
    assert new.secret != old.secret
    assert services.authenticate_client(client_id=client.pk, secret=new.secret)
    with pytest.raises(services.CredentialsError):
        services.authenticate_client(client_id=client.pk, secret=old.secret)


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> list[Face]:
    """Every third face, so that the whole story takes seconds."""
    faces = london.faces()[::3]
    monkeypatch.setattr(london, "faces", lambda: faces)
    return faces


def demo(*arguments: str) -> str:
    out = io.StringIO()
    call_command("demo", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


ROW = re.compile(r"^ *(\d+) +(\d{3}) +(\d+)% +([+-]\d+\.\d\d) +(\d) of 7$", re.M)


def test_the_whole_story_prints_ten_people_and_what_the_rater_thinks_of_them(
    half: list[Face],
    work: Callable[[], None],
    live_server: Any,
    settings: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings.PUBLIC_URL = live_server.url
    told = demo("--once")
    rater = london.clear_rater(half, london.raters())
    taste = london.taste(rater, half)
    rows = ROW.findall(told)
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    assert {row[1] for row in rows} <= {face.number for face in taste.rest}
    assert len(rows) == min(10, len(taste.rest))
    scores = [float(row[3]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    for _, face, _, _, rated in rows:
        assert int(rated) == rater.ratings[face]
    assert Space.objects.get(status="active").photos == 2 * len(half)
    space = Space.objects.get(status="active")
    assert demo("--once") == told  # nothing is loaded, read or fitted again
    assert Space.objects.get(status="active").activated_at == space.activated_at
    capsys.readouterr()


def test_without_a_server_it_says_so(
    half: list[Face],
    work: Callable[[], None],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings.PUBLIC_URL = "http://127.0.0.1:9"
    few = [face for face in half if face.gender == "woman"][:11]
    monkeypatch.setattr(london, "faces", lambda: few)
    woman = next(r.id for r in london.raters() if r.prefers == "woman")
    with pytest.raises(CommandError, match=r"Nobody answers at http://127\.0\.0\.1:9"):
        demo("--once", "--rater", woman)
    capsys.readouterr()


def test_an_unknown_rater_is_refused(db: None) -> None:
    with pytest.raises(CommandError, match="no rater X1"):
        demo("--once", "--rater", "X1")


def test_loaddemo_says_what_it_did(
    db: None,
    few: list[Face],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(london, "faces", lambda: few)
    call_command("loaddemo")
    call_command("loaddemo")
    assert capsys.readouterr().out.splitlines() == [
        '{"people": 3, "added": 3}',
        '{"people": 3, "added": 0}',
    ]
