"""manage evaluate: who sees what is there is told from who does not."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from annotation.backends import weights
from annotation.services import unkept
from matching.evaluation import card, taste
from matching.evaluation.identity import identity
from matching.evaluation.london import London
from matching.evaluation.measuring import HEADLINES
from matching.features import VISUAL_WIDTH, Sighting
from matching.metrics import clustered_interval
from matching.projection import untrained
from tests import labelled
from tests.labelled import Brightness
from tests.matching.readings import reading

Evaluated = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled.make(tmp_path_factory.mktemp("labelled") / "data")


@pytest.fixture
def evaluated(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Evaluated:
    """What the command prints of an annotator; it prints nothing else."""

    def evaluate(annotator: Brightness, **options: Any) -> dict[str, Any]:
        monkeypatch.setattr(unkept, "get_annotator", lambda _: annotator)
        call_command("evaluate", data=folder, **options)
        told = capsys.readouterr()
        assert "Reading photos" in told.err
        figures: dict[str, Any] = json.loads(told.out)
        return figures

    return evaluate


# The command --------------------------------------------------------------------------


def test_an_annotator_that_sees_what_is_there_has_the_best_figures(
    evaluated: Evaluated,
) -> None:
    figures = evaluated(Brightness())
    assert figures["annotator"] == "fake:fake-1"
    assert figures["headlines"] == dict.fromkeys(HEADLINES, 1.0) | {
        "lower_halves_not_visible": 0.8,  # it claims to see expressions everywhere
        "clothes_auc": figures["attributes"]["clothes"]["means"]["auc"]["value"],
    }
    smiles = figures["attributes"]["faces"]["labels"][0]
    assert (smiles["label"], smiles["means"]) == ("Smiling", "expression: smile laugh")
    assert smiles["auc"] == {"value": 1, "low": 1, "high": 1}
    assert smiles["balanced_accuracy"]["value"] > 0.9  # thresholds are of others
    # The same faces as people's cameras take them: as bright, and as well told.
    unaligned = figures["unaligned"]
    assert figures["photos"]["unaligned"] == labelled.VALIDATION
    assert unaligned["means"]["auc"]["value"] == 1
    assert unaligned["visible"]["value"] == pytest.approx(0.2)
    dress = {one["label"]: one for one in figures["attributes"]["ccp"]["labels"]}
    assert dress["dress"]["auc"]["value"] == 1
    # Nothing is said of trousers: no better than chance.
    assert dress["jeans"]["auc"]["value"] == 0.5
    assert figures["photos"]["failed"] == {}


def test_one_that_sees_the_contrary_is_worse_than_chance(evaluated: Evaluated) -> None:
    figures = evaluated(Brightness(sign=-1))
    assert figures["headlines"]["faces_auc"] == 0
    # Taste is learned from what it sees, the right way round or not.
    assert figures["headlines"]["taste_auc"] == 1


def test_one_without_features_is_measured_by_the_rest(evaluated: Evaluated) -> None:
    figures = evaluated(Brightness(blind=True))
    assert figures["embedding"] is None
    assert set(HEADLINES) - set(figures["headlines"]) == {"identity_recall_at_1"}
    assert set(figures["taste"]["plain"]) == {"attributes", "both"}


def test_a_try_reads_few_photos(evaluated: Evaluated) -> None:
    figures = evaluated(Brightness(), limit=12)
    assert figures["limit"] == 12
    assert figures["photos"]["measured"] <= 12 * 5
    assert figures["attributes"]["faces"]["means"] is None


def test_the_card_is_written_anew_between_its_marks(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    page, out = tmp_path / "card.md", tmp_path / "figures.json"
    page.write_text(f"Before.\n\n{card.BEGIN}\nstale\n{card.END}\n\nAfter.\n")
    figures = evaluated(Brightness(), card=page, out=out)
    assert json.loads(out.read_text()) == figures
    text = page.read_text()
    assert text.startswith("Before.\n\n<!--")
    assert text.endswith("-->\n\nAfter.\n")
    assert "stale" not in text
    assert "| Smiling | expression: smile laugh | 44 | 1.000 (1.000 to 1.000) |" in text
    assert "| posterior | both | 1.000" in text
    assert "| Faces, unaligned: mean AUC | 1.000 (1.000 to 1.000) |" in text
    # The same card again from the same figures, however often.
    card.refresh(page, figures)
    assert page.read_text() == text


def test_a_card_without_marks_is_left_alone(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    page = tmp_path / "card.md"
    page.write_text("No marks.")
    with pytest.raises(CommandError, match="no part between"):
        evaluated(Brightness(), limit=12, card=page)
    assert page.read_text() == "No marks."


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no data folder"):
        call_command("evaluate", data=tmp_path / "nowhere")
    with pytest.raises(CommandError, match="celeba_attributes"):
        call_command("evaluate", data=tmp_path)


def test_no_photos_at_all_is_no_limit(folder: Path) -> None:
    with pytest.raises(CommandError, match="no number of photos"):
        call_command("evaluate", "--limit", "0", data=folder)


def test_an_annotator_unheard_of_is_refused(folder: Path) -> None:
    with pytest.raises(CommandError, match="No annotator 'nobody'"):
        call_command("evaluate", data=folder, annotator="nobody", limit=3)


# The card -----------------------------------------------------------------------------


def test_the_card_names_where_its_calibration_errors_are_from(
    evaluated: Evaluated,
) -> None:
    figures = evaluated(Brightness())
    assert "on the photos that the other figures are of" in card.measured(figures)
    errors = {"raw": 0.123, "calibrated": 0.017}
    faces = errors | {"labels": {"Smiling": errors}}
    facts = {"parameters": 1234, "bytes": 5}
    trained = facts | {"cross_fitted": {"faces": faces, "clothes": None}}
    text = card.measured(figures | {"training": trained})
    assert "| parameters | 1,234 |" in text
    assert "faces 0.017 (uncalibrated 0.123)" in text
    row = next(line for line in text.splitlines() if line.startswith("| Smiling"))
    assert row.endswith("| 0.017 |")


def test_a_group_told_worse_is_named_in_the_card(evaluated: Evaluated) -> None:
    figures = evaluated(Brightness())
    assert "No AUC within a group" in card.measured(figures)
    one = {"label": "Smiling", "group": "older", "auc": 0.7, "everybody": 0.9}
    figures["attributes"]["groups"]["below"] = [one]
    assert "Smiling for older 0.700 instead of 0.900" in card.measured(figures)


# Identity -----------------------------------------------------------------------------


def test_identity_stands_beside_chance_and_pixels() -> None:
    rng = np.random.default_rng(1)
    people = np.repeat(np.arange(40), 2)
    photos = [labelled.picture(rng.integers(0, 255, (64, 64, 3))) for _ in people]
    features = np.eye(40, dtype=np.float32)[people]
    found = identity(untrained(width=40), features, photos, people)
    assert found is not None
    best = {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["annotator"]["recall_at_1"] == best
    assert found["annotator"]["silhouette"]["value"] == pytest.approx(1, abs=1e-3)
    for baseline in ("random", "pixels"):
        assert found[baseline]["recall_at_1"]["value"] < 0.2
    assert (found["photos"], found["people"]) == (80, 40)


def test_brightness_alone_tells_nobody_by_their_pixels() -> None:
    rng = np.random.default_rng(2)
    pattern = rng.choice([-30, 30], (3, 8, 8, 1)).repeat(8, 1).repeat(8, 2)
    pixels = [pattern[who] + level for who in range(3) for level in (60, 180)]
    photos = [labelled.picture(np.repeat(one, 3, 2)) for one in pixels]
    people = np.repeat(np.arange(3), 2)
    features = rng.normal(size=(6, 8)).astype(np.float32)
    found = identity(untrained(width=8), features, photos, people)
    assert found is not None
    assert found["pixels"]["recall_at_1"]["value"] == 1


def test_people_who_are_alone_cannot_be_told_apart() -> None:
    photos, people = [labelled.face(0)] * 2, np.arange(2)
    features = np.ones((2, 4), np.float32)
    assert identity(untrained(width=4), features, photos, people) is None


def test_an_interval_over_people_is_wider_than_one_over_their_photos() -> None:
    values, people = np.repeat([0.0, 1.0] * 20, 10), np.repeat(np.arange(40), 10)
    low, high = clustered_interval(values, clusters=people)
    assert low < 0.5 < high
    # Forty independent halves: a standard error of 0.5 / sqrt(40).
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(40), rel=0.15)
    photos = clustered_interval(values, clusters=np.arange(len(values)))
    assert photos[1] - photos[0] < 0.5 * (high - low)


# Taste --------------------------------------------------------------------------------


def london(ratings: list[list[float]], *, gender: str = "female") -> London:
    count = len(ratings[0])
    return London(
        photos=[b""] * count,
        gender=np.array([gender] * count),
        prefers=np.array(["female"] * len(ratings)),
        ratings=np.array(ratings, float),
    )


def glasses(chances: list[float], *, looks: bool = False) -> list[Sighting]:
    axis = np.eye(VISUAL_WIDTH)
    return [
        Sighting(
            reading(eyewear={"glasses": p, "none": 1 - p}),
            (p * axis[0] + (1 - p) * axis[1]) if looks else None,
        )
        for p in chances
    ]


def test_taste_is_ranked_by_what_the_liked_have_and_the_disliked_have_not() -> None:
    rising = [float(place) for place in range(40)]
    seen = glasses([place / 39 for place in range(40)], looks=True)
    found = taste.taste(seen, london([rising, rising[::-1]]))
    assert found is not None
    assert found["raters"] == 2
    for method in ("plain", "posterior"):
        for part in ("attributes", "embedding", "both"):
            assert found[method][part]["auc"]["value"] == 1
            # Twelve liked of forty, five of them known: seven are to be found.
            assert found[method][part]["precision_at_10"]["value"] == 0.7
    assert found["others_average"]["auc"]["value"] == 0  # the other likes the contrary


def test_where_all_look_alike_taste_is_found_by_nobody() -> None:
    rng = np.random.default_rng(3)
    ratings = rng.integers(1, 8, (60, 40)).tolist()
    found = taste.taste(glasses([0.5] * 40), london(ratings))
    assert found is not None
    assert "embedding" not in found["plain"]
    assert found["plain"]["both"]["auc"]["value"] == 0.5
    precision = found["plain"]["both"]["precision_at_10"]
    assert precision["low"] < 0.5 < precision["high"]  # ties are ordered by chance
    assert 0.4 < found["random"]["auc"]["value"] < 0.6


def test_a_rater_is_asked_only_of_the_gender_they_prefer() -> None:
    rising = [float(place) for place in range(40)]
    data = london([rising])
    assert taste.taste(glasses([0.5] * 40), london([rising], gender="male")) is None
    half = London(
        data.photos,
        np.array(["female", "male"] * 20),
        data.prefers,
        data.ratings,
    )
    (test,) = taste._tests(half, np.random.default_rng(0))
    asked = np.concatenate([test.known, test.ranked])
    assert (asked % 2 == 0).all()
    assert sorted(asked) == [*range(0, 12, 2), *range(28, 40, 2)]


def test_known_faces_are_not_ranked_and_half_of_the_ranked_are_liked() -> None:
    rng = np.random.default_rng(4)
    data = london(rng.integers(1, 8, (20, 50)).tolist())
    for test in taste._tests(data, rng):
        assert not set(test.known) & set(test.ranked)
        assert test.outcomes.sum() == 10 == len(test.ranked) / 2
        liked = data.ratings[test.rater]
        assert liked[test.known[:5]].min() >= liked[test.known[5:]].max()


# The real thing -----------------------------------------------------------------------


def test_the_model_card_is_of_the_weights_that_are_shipped() -> None:
    docs = Path(__file__).parents[2] / "docs"
    figures = json.loads((docs / "model-card.json").read_text())
    assert figures["annotator"] == weights.version().name
    assert card.measured(figures) in (docs / "model-card.md").read_text()


@pytest.mark.data
@pytest.mark.skipif(
    not settings.TRAINING_DATA.is_dir(), reason="the training data are not here"
)
def test_the_real_data_are_read_and_asked_about(
    capsys: pytest.CaptureFixture[str],
) -> None:
    call_command("evaluate", annotator="fake", limit=30, stderr=io.StringIO())
    figures = json.loads(capsys.readouterr().out)
    assert figures["photos"]["failed"] == {}
    # It looks at nothing: taste of real raters cannot be found by it.
    assert 0.4 < figures["headlines"]["taste_auc"] < 0.6
    assert figures["taste"]["others_average"]["auc"]["value"] > 0.8
