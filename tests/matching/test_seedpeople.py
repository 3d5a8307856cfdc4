"""manage seedpeople: valid readings, honest density, and people like any others."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings as configured
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from annotation import services as annotation
from annotation.backends.base import AnnotatorVersion
from annotation.schema import SCHEMA, problems
from annotation.services.calibrating import activate_calibration
from matching import services, spaces
from matching.features import Sighting, pack, person_features, person_presence
from matching.models import PersonVector, Space
from matching.projection import untrained
from matching.seeding import crowd, sources
from matching.seeding.declarations import declarations, made_up, members
from matching.seeding.likeness import Readings, likeness, readings, vary
from profiles import services as people
from profiles.links import photo_path
from profiles.models import Client, Photo, Profile
from tests.annotation.calibrations import VERSION, keep
from tests.matching.readings import random_reading, random_space
from twinby.rest.callers import Caller, issue_token

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
WIDTH = 512


def random_readings(count: int, *, seed: int = 0, width: int = WIDTH) -> Readings:
    rng = np.random.default_rng(seed)
    photos = [random_reading(rng) for _ in range(count)]
    return readings(photos, rng.normal(size=(count, width)))


def attributes_of(photos: Readings) -> list[dict[str, dict[str, float]]]:
    """Each row as a reading in the words of the schema."""
    return [_attributes(p.tolist(), s) for p, s in zip(photos.p, photos.seen)]  # noqa: B905


def _attributes(p: list[float], seen: Any) -> dict[str, dict[str, float]]:
    numbers = iter(p)
    return {
        attribute.name: {
            "not_visible": 1 - float(seen[i]),
            **{value: next(numbers) for value in attribute.values},
        }
        for i, attribute in enumerate(SCHEMA)
    }


# Readings -----------------------------------------------------------------------------


def test_a_made_up_reading_obeys_the_schema() -> None:
    first, second = random_readings(60), random_readings(60, seed=1)
    like = likeness(first, second)
    made = vary(first, like, np.random.default_rng(2)).stored()
    for attributes in attributes_of(made):
        assert problems(attributes) == []
    assert np.linalg.norm(made.features, axis=1) == pytest.approx(1, abs=1e-2)


def test_what_the_real_photo_does_not_show_stays_unseen() -> None:
    first, second = random_readings(60), random_readings(60, seed=1)
    made = vary(first, likeness(first, second), np.random.default_rng(2))
    assert (made.seen[first.seen == 0] == 0).all()
    assert (made.seen[first.seen > 0.5] > 0).all()


def test_people_whose_two_photos_agree_are_copied() -> None:
    same = random_readings(60)
    made = vary(same, likeness(same, same), np.random.default_rng(2))
    assert made.features == pytest.approx(same.features, abs=1e-9)
    assert made.p == pytest.approx(same.p, abs=0.01)  # the floor, shared out


def test_a_crowd_scatters_neither_more_nor_less_than_real_people() -> None:
    rng = np.random.default_rng(0)
    photos, width = attributes_of(random_readings(600)), 24
    person = 3 * np.eye(width)[0] + rng.normal(0, 0.5, (600, width))
    first, second = (
        readings(photos, person + rng.normal(0, 0.5, (600, width))) for _ in range(2)
    )
    made = vary(first, likeness(first, second), rng)
    real, seeded = first.features.var(axis=0), made.features.var(axis=0)
    assert seeded.mean() == pytest.approx(real.mean(), rel=0.1)
    near = crowd.among_themselves(first.features)["median"]
    seeded_near = crowd.among_themselves(made.features)["median"]
    assert seeded_near == pytest.approx(near, rel=0.1)


def test_a_crowd_has_the_same_numbers_as_people_one_by_one() -> None:
    space, photos = random_space(1), random_readings(20).stored()
    project = untrained(width=WIDTH)
    together = crowd.features(space, photos, project)
    chance, known = crowd.presence(photos)
    sizes = [len(attribute.values) for attribute in SCHEMA]
    for i, attributes in enumerate(attributes_of(photos)):
        alone = person_features(
            space, [Sighting(attributes, project(photos.features[i]))]
        )
        assert together[i] == pytest.approx(alone, abs=1e-9)
        stored = crowd.packed(space, alone[None])[0]
        assert (stored == pack(space, alone)).all()
        expected = person_presence([attributes])
        seen = chance[i][np.repeat(known[i], sizes)]
        assert seen == pytest.approx(list(expected.values()), abs=1e-9)


def test_the_nearest_is_found_across_batches_and_is_never_oneself() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 8))
    nearest = crowd.Nearest(rows[:10])
    for start in range(0, 50, 7):
        nearest.see(rows[start : start + 7])
    every = np.linalg.norm(rows[:10, None] - rows[None], axis=2)
    every[np.arange(10), np.arange(10)] = np.inf
    expected = {"people": 50} | crowd.percentiles(every.min(axis=1))
    assert nearest.distances() == pytest.approx(expected, abs=2e-3)


# Declarations -------------------------------------------------------------------------


def test_fields_come_from_the_okcupid_file(tmp_path: Path) -> None:
    head = "age,sex,orientation,height,body_type,drinks,smokes\n"
    rows = "22,m,straight,75,,,no\n35,f,bisexual,60,,,\n41,f,gay,60,,,sometimes\n"
    wrong = "17,m,straight,75,,,no\n110,f,straight,60,,,no\n"
    with gzip.open(tmp_path / "okcupid_profiles.csv.gz", "wt") as file:
        file.write(head + rows + wrong)
    found = members(tmp_path, np.random.default_rng(0))
    assert [(m.age, m.gender, m.seeking, m.smokes) for m in found] == [
        (22, "man", ("woman",), False),
        (35, "woman", ("woman", "man"), None),
        (41, "woman", ("woman",), True),
    ]


def test_without_the_file_people_are_made_up(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = members(tmp_path, rng)
    assert len(found) > 1_000
    assert {gender for m in found for gender in m.seeking} == {"woman", "man"}
    assert min(m.age for m in found) >= 18


def test_a_declaration_is_one_that_a_profile_can_hold() -> None:
    rng = np.random.default_rng(0)
    chosen = list(islice(made_up(rng), 300))
    for member, declared in zip(chosen, declarations(chosen, rng, NOW), strict=True):
        profile = Profile(**vars(declared))
        assert profile.age(on=NOW.date()) == member.age
        assert 18 <= declared.sought_age_min <= declared.sought_age_max <= 120
        assert -90 <= declared.latitude <= 90
        assert round(declared.latitude, 2) == declared.latitude
        assert declared.last_active_at <= NOW


# The command --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the tests here, so that real photos are read once."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def few_real(
    settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: Path
) -> None:
    """Thirty of the demo's people to draw from."""
    settings.TRAINING_DATA = tmp_path / "no-data"
    monkeypatch.setenv("TWINBY_STATE", str(state))
    everybody = sources.london
    monkeypatch.setattr(sources, "london", lambda folder: islice(everybody(folder), 30))


Seed = Callable[..., dict[str, Any]]


@pytest.fixture
def seed(
    few_real: None, transactional_db: None, capsys: pytest.CaptureFixture[str]
) -> Seed:
    def run(count: int, **options: Any) -> dict[str, Any]:
        call_command("seedpeople", count=count, **options)
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return run


def test_seeded_people_can_be_found_and_are_marked(seed: Seed) -> None:
    answer = seed(40, client="crowd")
    client = Client.objects.get(name="crowd")
    assert answer["count"] == 40
    assert answer["client_id"] == str(client.pk)
    assert Profile.objects.searchable().filter(client=client).count() == 40
    assert PersonVector.objects.filter(space=spaces.active_space()).count() == 40
    for person in client.profiles.all():
        assert person.synthetic
        person.full_clean()


def test_it_says_how_dense_the_crowd_is_beside_real_people(seed: Seed) -> None:
    near = seed(60)["nearest_neighbour"]
    assert near["real"]["people"] == near["seeded"]["people"] == 30
    assert near["seeded_all"]["people"] == 60
    assert near["seeded_all"]["median"] <= near["seeded"]["median"]
    assert near["seeded"]["median"] == pytest.approx(near["real"]["median"], rel=0.3)
    for figures in near.values():
        assert 0 < figures["p10"] <= figures["median"] <= figures["p90"]


def test_their_vectors_are_those_that_indexing_would_write(seed: Seed) -> None:
    seed(12)
    before = {row.profile_id: row for row in PersonVector.objects.all()}
    services.index_people(list(before), spaces=[spaces.active_space()])
    after = PersonVector.objects.all()
    assert len(after) == 12
    for row in after:
        old = before[row.profile_id]
        assert row.updated_at > old.updated_at
        assert row.vector == pytest.approx(old.vector, abs=2e-3)
        assert row.presence == pytest.approx(old.presence, abs=2e-4)


def test_under_a_calibration_their_rows_are_raw_and_their_vectors_calibrated(
    seed: Seed,
) -> None:
    activate_calibration(VERSION, keep(temperature=2.0))
    services.fit_feature_space()
    seed(12)
    before = {row.profile_id: row for row in PersonVector.objects.all()}
    services.index_people(list(before), spaces=[spaces.active_space()])
    for row in PersonVector.objects.all():
        assert row.vector == pytest.approx(before[row.profile_id].vector, abs=2e-3)
        assert row.presence == pytest.approx(before[row.profile_id].presence, abs=2e-4)
    photo = Photo.objects.all()[0]
    seen = annotation.effective_readings([photo.pk])[photo.pk].attributes
    assert photo.annotations.get().attributes != seen


def test_nobody_asks_for_photos_that_do_not_exist_to_be_read(seed: Seed) -> None:
    seed(5)
    assert annotation.sweep(older_than=dt.timedelta(0), limit=100) == 0


def test_a_missing_picture_is_not_found_and_not_a_fault(seed: Seed) -> None:
    seed(3)
    photo = Photo.objects.all()[0]
    answer = APIClient().get(photo_path(photo.pk, viewer_id=photo.owner_id))
    assert answer.status_code == 404


def test_they_answer_a_search_like_anybody(seed: Seed) -> None:
    seed(40)
    client = Client.objects.get(name="load")
    viewer = people.create_profile(
        client_id=client.pk,
        consent=True,
        birth_date=dt.date(1990, 1, 1),
        gender="man",
        seeking=["woman", "man"],
    )
    client.profiles.update(
        seeking=["woman", "man"], sought_age_min=18, sought_age_max=120
    )
    api = APIClient()
    token = issue_token(Caller(client_id=client.pk, person_id=viewer.pk))
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    liked = Photo.objects.exclude(owner=viewer).values_list("pk", flat=True)[0]
    body = {"positive_photo_ids": [str(liked)], "limit": 100}
    answer = api.post("/v1/search/visual", body, format="json")
    assert answer.status_code == 200, answer.json()
    assert len(answer.json()["matched_users"]) == 39


def test_a_second_run_reads_no_photo_again_and_adds_other_people(
    seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(3)
    monkeypatch.setattr(sources, "call_command", None)  # nobody reads from now on
    seed(3)
    assert Profile.objects.filter(synthetic=True).count() == 6


def test_a_model_whose_name_holds_a_slash_has_a_file_of_its_own(
    few_real: None, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = AnnotatorVersion("local", "org/model", "p-1")
    monkeypatch.setattr(annotation, "active_version", lambda: version)
    real = sources.real_pairs(state / "slashes")
    assert len(real.first) == 30
    (file,) = (state / "slashes").iterdir()
    assert "local_org_model_p-1" in file.name


def test_more_than_one_batch_is_written_whole(
    seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matching.seeding.seeder.BATCH", 35)
    assert seed(100)["nearest_neighbour"]["seeded_all"]["people"] == 100
    assert PersonVector.objects.count() == 100


def test_a_space_of_another_annotator_is_refused(seed: Seed) -> None:
    space = spaces.active_space()
    Space.objects.update(content={**space.content, "model": "another"})
    with pytest.raises(CommandError, match="fitfeaturespace"):
        seed(3)


def test_nobody_cannot_be_seeded(seed: Seed) -> None:
    with pytest.raises(CommandError, match="at least 1"):
        seed(0)


@pytest.mark.data
@pytest.mark.skipif(
    not (configured.TRAINING_DATA / "celeba_112.zip").exists(), reason="no data folder"
)
def test_celeba_gives_two_photos_of_each_person() -> None:
    found = list(sources.celeba(configured.TRAINING_DATA, 20))
    assert len({person.name for person in found}) == 20
    for person in found:
        one, other = person.photos
        assert one[8:12] == other[8:12] == b"WEBP"
        assert one != other
