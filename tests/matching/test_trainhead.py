"""manage trainhead: from features that are stored already to a kept, measured head."""

from __future__ import annotations

import itertools
import json
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")
pytest.importorskip("pytorch_metric_learning", reason="needs requirements/vlm.txt")

from annotation.models import Annotation
from annotation.schema import SCHEMA_VERSION
from matching import heads, services, spaces
from matching.models import Head
from matching.training import cached
from profiles.models import Photo, Profile
from tests.conftest import MakePerson
from tests.matching.readings import reading

pytestmark = pytest.mark.torch

FAKE = "fake:fake-1"
Train = Callable[..., dict[str, Any]]


@pytest.fixture
def train(db: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Train:
    """The command, in as few epochs as show that it learns."""

    def run(**options: Any) -> dict[str, Any]:
        call_command("trainhead", epochs=4, run=tmp_path / "runs", **options)
        said = capsys.readouterr()
        told: dict[str, Any] = json.loads(said.out)
        return told | {"narration": said.err}

    return run


def telling(
    people: int, *, width: int = 48, each: int = 3, seed: int = 0
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], list[int]]:
    """Features (people * each, width), a quarter of which tells people apart."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), each)
    features = rng.normal(scale=3.0, size=(len(who), width))
    features[:, : width // 4] = rng.normal(size=(people, width // 4))[who]
    return features.astype(np.float32), who.tolist()


def written(file: Path, people: int = 80, *, annotator: str = FAKE, **kw: Any) -> Path:
    """A file as annotatephotos writes it, one folder for each person."""
    features, who = telling(people, **kw)
    lines = [
        {
            "file": f"photos/{name}/{i}.jpg",
            "features": f.tolist(),
            "annotator": annotator,
        }
        for i, (f, name) in enumerate(zip(features, who, strict=True))
    ]
    broken = {"file": "photos/0/x.jpg", "error": "not-an-image", "annotator": annotator}
    file.write_text("\n".join(map(json.dumps, [*lines, broken])))
    return file


def test_a_head_is_trained_on_a_file_measured_and_kept(
    train: Train, tmp_path: Path
) -> None:
    told = train(features=written(tmp_path / "features.jsonl"))
    head = Head.objects.get()
    assert (told["head"], told["width"], told["annotator"]) == (head.version, 48, FAKE)
    assert head.status == Head.Status.TRAINED
    assert head.metrics["headlines"] == told["headlines"]
    assert told["rival"] == "untrained-orthonormal-48"
    assert {"random", "raw", told["rival"], "triplet", "supcon"} == set(told["beside"])
    assert told["headlines"]["map_at_r"] > told["beside"]["raw"]["map_at_r"]
    assert heads.load(head).version(FAKE) == head.version
    assert "supcon epoch 4: loss" in told["narration"]


def test_the_folder_of_a_run_says_how_it_went_and_names_nobody(
    train: Train, tmp_path: Path
) -> None:
    told = train(features=written(tmp_path / "features.jsonl"))
    folder = Path(told["run"])
    assert {file.name for file in folder.iterdir()} == {
        "metrics.json",
        "epochs.jsonl",
        "head.npz",
        "curves.png",
    }
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["head"] == told["head"]
    assert metrics["recipe"]["seed"] == 1
    epochs = [json.loads(e) for e in (folder / "epochs.jsonl").read_text().splitlines()]
    assert [e["number"] for e in epochs if e["objective"] == "triplet"] == [1, 2, 3, 4]
    assert "photos/" not in "".join(f.read_text() for f in folder.glob("*.json*"))


def test_the_same_seed_and_features_give_the_same_head(
    train: Train, tmp_path: Path
) -> None:
    file = written(tmp_path / "features.jsonl")
    assert train(features=file)["head"] == train(features=file)["head"]
    assert train(features=file, seed=2)["head"] != Head.objects.earliest("pk").version


def test_people_of_another_file_measure_it(train: Train, tmp_path: Path) -> None:
    features = written(tmp_path / "features.jsonl")
    others = tmp_path / "others.npz"
    held_out, who = telling(30, seed=9)
    people = np.array([f"other-{index}" for index in who])
    np.savez(others, features=held_out, people=people, annotator=FAKE)
    told = train(features=features, held_out=others)
    assert told["unseen"] == {"people": 30, "photos": 90}


def test_it_learns_from_feedback(train: Train, tmp_path: Path) -> None:
    features = written(tmp_path / "features.jsonl")
    rng = np.random.default_rng(0)
    roles = ("person", "matched", "passed")
    lines = []
    for _ in range(300):
        some = (f"photos/{index}" for index in rng.permutation(81)[:3])
        lines.append(dict(zip(roles, some, strict=True)))
    feedback = tmp_path / "feedback.jsonl"
    feedback.write_text("\n".join(map(json.dumps, lines)))
    told = train(features=features, triplets="feedback", feedback=feedback)
    assert set(told["headlines"]) == {"triplet_accuracy"}
    assert told["triplets"] == "feedback"
    assert "left out" in told["narration"]  # there is nobody in folder 80
    assert told["unseen"]["triplets"] > 10


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"features": Path("nowhere.jsonl")}, "cannot be read: No such file"),
        ({"features": Path("nowhere.npz")}, "cannot be read: No such file"),
        ({"triplets": "feedback"}, "--feedback FILE go together"),
        ({"feedback": Path("f.jsonl")}, "--feedback FILE go together"),
        ({"encoder": "oracle"}, "there are fake, .*small"),
        ({}, "run annotate first"),
    ],
)
def test_it_says_what_is_missing(
    train: Train, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(CommandError, match=says):
        train(**options)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("no json", "holds no features"),
        (
            '{"file": "a/b.jpg", "features": [1], "annotator": "small:x"}',
            "read by small",
        ),
        ('{"file": "a/b.jpg", "features": [1]}', "who has read it"),
        ('{"features": [1], "annotator": "fake:fake-1"}', "holds no features"),
        ('{"file": "a/b.jpg", "features": null}', "No photo with features"),
    ],
)
def test_a_file_of_anything_else_is_refused(
    train: Train, tmp_path: Path, line: str, says: str
) -> None:
    file = tmp_path / "features.jsonl"
    file.write_text(line)
    with pytest.raises(CommandError, match=says):
        train(features=file)
    assert not Head.objects.exists()


def test_without_torch_it_says_what_to_install(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.startswith("matching.training"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(CommandError, match=r"needs torch: install .*vlm\.txt"):
        train()


# From the database --------------------------------------------------------------------


def read_photo(owner: Profile, features: Any, **row: Any) -> Photo:
    """A published photo without a file, and what the annotator has read of it."""
    photo = Photo.objects.create(
        sha256=f"{Photo.objects.count():064}",
        owner=owner,
        purpose=Photo.Purpose.PROFILE,
        status=Photo.Status.APPROVED,
        approval_source=Photo.ApprovalSource.CURATED,
        dhash="0" * 64,
        width=1,
        height=1,
    )
    fields = {
        "backend": "fake",
        "model": "fake-1",
        "schema_version": SCHEMA_VERSION,
        "status": "done",
        "attributes": reading(),
        "features": np.asarray(features).astype("<f2").tobytes(),
    }
    Annotation.objects.create(photo=photo, **fields | row)
    return photo


@pytest.fixture
def population(
    make_person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> list[Profile]:
    """Forty people with two photos each; their ids decide who is learned from."""
    ids = map(uuid.UUID, (f"{number:032}" for number in itertools.count(1)))
    monkeypatch.setattr(Profile._meta.pk, "_get_default", lambda: next(ids))
    features, who = telling(40, width=512, each=2)
    people = [make_person() for _ in range(40)]
    for seen, index in zip(features, who, strict=True):
        read_photo(people[index], seen)
    with connection.cursor() as cursor:  # tables that tests have emptied mislead plans
        cursor.execute("ANALYZE profiles_profile, profiles_photo")
        cursor.execute("ANALYZE annotation_annotation")
    return people


def test_a_head_is_trained_on_stored_readings_and_activated(
    train: Train, population: list[Profile]
) -> None:
    told = train()
    assert told["rival"] == "identity"
    parts = told["training"]["people"], told["unseen"]["people"]
    assert sum(parts) < 40  # some are kept back to stop by
    space = services.activate_head(told["head"])
    assert spaces.feature_space(space).projection == told["head"]
    assert space.vectors.count() == 40
    again = train(seed=2)
    assert again["rival"] == told["head"]
    assert again["beside"][told["head"]] == told["headlines"]


def test_only_published_readings_of_people_who_may_be_found_are_learned_from(
    population: list[Profile], make_person: MakePerson
) -> None:
    features = np.ones(512)
    read_photo(make_person(consent=True, status="paused"), features)
    Profile.objects.filter(pk=population[0].pk).update(consented_at=None)
    Profile.objects.filter(pk=population[1].pk).update(synthetic=True)
    read_photo(population[2], features, model="fake-2")
    read_photo(population[2], features, status="pending")
    hidden = read_photo(population[2], features)
    Photo.objects.filter(pk=hidden.pk).update(
        status="quarantined", status_reason="failed: adults", approval_source=""
    )
    found = cached.from_database(FAKE)
    assert set(found.people) == {str(person.pk) for person in population[2:]}
    assert len(found) == 2 * 38
    assert found.features.dtype == np.float32
    assert not (found.features == 1).all(axis=1).any()
