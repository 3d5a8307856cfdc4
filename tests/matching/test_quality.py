"""What methods are worth: trials in which nothing is learned from what is tested."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import quality as bench
from matching.evaluation import quality, trials
from matching.evaluation.conjunctions import of_labels, true_or_not
from matching.evaluation.files import RatedFilesError, rated_files
from matching.evaluation.rated import Rated, everybodys_likes
from matching.features import Sighting
from tests.matching.readings import sighting

Out = pytest.CaptureFixture[str]
PHOTOS, RATERS = 48, 8
VALUES = ("glasses", "none")


def photos() -> list[Sighting]:
    """Every other one wears glasses; the rest differs by chance."""
    rng = np.random.default_rng(0)
    settings = ("home", "gym", "cafe")
    return [
        sighting(eyewear=VALUES[n % 2], setting=settings[int(rng.integers(3))])
        for n in range(PHOTOS)
    ]


def likes_of_glasses() -> np.ndarray:
    rng = np.random.default_rng(1)
    wearing = np.arange(PHOTOS) % 2 == 0
    return np.asarray(3 * wearing + rng.random((RATERS, PHOTOS)))


@pytest.fixture
def rated() -> Rated:
    return Rated(photos(), np.full(PHOTOS, "everybody"), likes_of_glasses())


def test_a_taste_that_shows_is_found_by_every_method_but_chance(rated: Rated) -> None:
    found = quality.measure(trials.trials(rated))
    for name in ("plain", "bayesian", "bayesian_cold", "gaussian", "blend"):
        assert found[name]["auc"] > 0.9
    assert found["others_average"]["auc"] > 0.9
    assert 0.2 < found["random"]["auc"] < 0.8
    assert found["plain"]["difference"] == 0
    assert found["bayesian"]["n_raters"] == RATERS


def test_nothing_is_learned_from_the_raters_and_photos_that_are_tested(
    rated: Rated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who and what is tested is changed beyond recognition: the priors stay."""
    rng = np.random.default_rng(0)
    likes = list(everybodys_likes(rated, rng))
    division = next(trials.divisions(rated, rng))
    learned: list[Any] = []
    monkeypatch.setattr(trials, "learn_prior", lambda raters: learned.append(raters))
    features = trials._features(rated, division, "both")
    list(trials._of_group(rated, division, features, likes, trials.KNOWN))
    (raters,) = learned
    shown = {x.tobytes() for rater in raters for x in rater.examples}
    tested = features[division.photos] + 0.0
    others = {x.tobytes() for x in features[~division.photos]}
    assert shown <= others
    assert len(raters) == int((~division.raters).sum())
    assert len(tested) == int(division.photos.sum())


def test_the_examples_of_a_trial_are_not_ranked(rated: Rated) -> None:
    marked = np.arange(PHOTOS, dtype=float)[:, None] * np.ones(644)
    likes = list(everybodys_likes(rated, np.random.default_rng(0)))
    division = next(trials.divisions(rated, np.random.default_rng(0)))
    for trial in trials._of_group(rated, division, marked, likes, trials.KNOWN):
        assert len(trial.known) == 2 * trials.KNOWN
        assert trial.liked.sum() == trials.KNOWN
        assert not set(trial.known[:, 0]) & set(trial.ranked[:, 0])


def test_a_conjunction_is_a_taste_if_it_is_rare_but_not_too_rare() -> None:
    labels = [
        dict.fromkeys(quality_labels(), False)
        | {"Male": n % 2 == 0, "Eyeglasses": n % 25 == 0}
        for n in range(100)
    ]
    data = of_labels([sighting()] * 100, labels)
    assert data.ratings.sum(axis=1).tolist() == [2]  # men with glasses
    (taste,) = true_or_not(data, np.random.default_rng(0))
    assert sorted(taste.liked) == [0, 50]
    assert len(taste.disliked) == 98


def quality_labels() -> list[str]:
    from annotation.evaluation.questions import CELEBA_VALUES

    return [*CELEBA_VALUES, "Male"]


# Files --------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    readings, ratings = tmp_path / "readings.jsonl", tmp_path / "ratings.csv"
    readings.write_text(
        "\n".join(
            json.dumps(
                {
                    "file": f"photos/{n:03}.webp",
                    "attributes": photo.attributes,
                    "features": None,
                }
            )
            for n, photo in enumerate(photos())
        )
    )
    scores = likes_of_glasses()
    rows = [
        f"r{rater},{photo:03},{scores[rater, photo]:.3f}"
        for rater in range(RATERS)
        for photo in range(PHOTOS)
    ]
    ratings.write_text("\n".join(["rater,photo,score", *rows]))
    return readings, ratings


def test_the_bench_measures_files_of_ones_own(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    readings, ratings = map(str, files)
    given = ["quality", "--readings", readings, "--ratings", ratings]
    monkeypatch.setattr(sys, "argv", given)
    bench.main()
    answer = json.loads(capsys.readouterr().out)
    assert answer["default"] == "bayesian"
    assert answer["methods"] == answer["sections"]["ratings"]["both"]
    assert answer["methods"]["bayesian"]["auc"] > 0.9
    low, high = answer["methods"]["bayesian"]["auc_ci"]
    assert low <= answer["methods"]["bayesian"]["auc"] <= high
    assert answer["commit"]


def test_photos_are_known_by_path_name_and_stem_and_by_group(
    files: tuple[Path, Path],
) -> None:
    readings, ratings = files
    head = "rater,photo,score,photo_group,rater_group"
    rows = ["a,photos/000.webp,1,women,men", "a,001.webp,2,men,men", "a,002,3,,women"]
    ratings.write_text("\n".join([head, *rows, "a,nobody,4,men,men"]))
    data = rated_files(readings, ratings)
    assert data.groups.tolist() == ["women", "men", "everybody"]
    assert np.nan_to_num(data.ratings).tolist() == [[1, 2, 0], [0, 0, 3]]


@pytest.mark.parametrize(
    ("readings", "ratings", "says"),
    [
        ("nonsense", "rater,photo,score\na,000,1", "Line 1 of .* is no reading"),
        (None, "rater,photo\na,000", "lacks score"),
        (None, "rater,photo,score\na,000,much", "Line 2 of .* no number"),
        (None, "rater,photo,score\na,stranger,1", "No photo"),
    ],
)
def test_files_that_cannot_be_used_are_refused_by_line(
    files: tuple[Path, Path], readings: str | None, ratings: str, says: str
) -> None:
    if readings is not None:
        files[0].write_text(readings)
    files[1].write_text(ratings)
    with pytest.raises(RatedFilesError, match=says):
        rated_files(*files)


def test_the_bench_says_when_nobody_rated_enough(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    files[1].write_text("rater,photo,score\na,000,1\na,001,2")
    given = ["quality", "--readings", str(files[0]), "--ratings", str(files[1])]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit, match="nobody has 5 likes"):
        bench.main()
