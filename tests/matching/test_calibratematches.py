"""manage calibratematches: from outcomes to match scores that are true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.test import Client

from matching import calibration, calibrations
from matching.management.commands import calibratematches
from matching.models import MatchCalibration
from matching.outcomes import parse
from matching.preference import sigmoid

pytestmark = pytest.mark.django_db


def outcomes(folder: Path, *, slope: float, count: int = 500) -> Path:
    """Likes that come as often as sigmoid(slope * score - 1) says."""
    rng = np.random.default_rng(int(10 * slope))
    scores = rng.normal(size=count)
    liked = rng.random(count) < sigmoid(slope * scores - 1.0)
    rows = [f"{score},{int(like)}" for score, like in zip(scores, liked, strict=True)]
    file = folder / f"outcomes{slope}.csv"
    file.write_text("\n".join(["score,liked", *rows]))
    return file


@pytest.fixture
def calibrate(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: object) -> Any:
        capsys.readouterr()
        call_command("calibratematches", *map(str, arguments))
        return json.loads(capsys.readouterr().out)

    return call


def test_what_is_better_than_the_model_is_used(calibrate: Any, tmp_path: Path) -> None:
    told = calibrate("--outcomes", outcomes(tmp_path, slope=3.0))
    assert told["active"]
    assert told["log_loss"][told["method"]] < told["log_loss"]["model"]
    assert told["outcomes"] == 500
    active = calibrations.active()
    assert active is not None
    assert active.version == told["version"]
    some = np.array([-1.0, 0.0, 1.0])
    assert active.calibrator(some) == pytest.approx(sigmoid(3 * some - 1), abs=0.12)


def test_a_file_may_say_whose_outcomes_these_are(
    calibrate: Any, tmp_path: Path
) -> None:
    lines = ["score,liked,viewer", "1,1,ann", "2,0,", "0,1,ann"]
    told = [(1.0, True, "ann"), (2.0, False, "line 3"), (0.0, True, "ann")]
    assert parse(lines) == told
    wrapped = mock.patch(f"{calibratematches.__name__}.fit", wraps=calibration.fit)
    with wrapped as fit:
        calibrate("--outcomes", outcomes(tmp_path, slope=3.0))
    assert fit.call_args.kwargs["viewers"][:2] == ["line 2", "line 3"]


def test_an_operator_sees_what_each_is_worth(
    calibrate: Any, tmp_path: Path, admin_client: Client
) -> None:
    told = calibrate("--outcomes", outcomes(tmp_path, slope=3.0))
    listed = admin_client.get("/admin/matching/matchcalibration/").content.decode()
    assert told["version"] in listed
    assert f"model {told['log_loss']['model']:.3f}" in listed
    assert "500" in listed
    (row,) = MatchCalibration.objects.all()
    page = f"/admin/matching/matchcalibration/{row.pk}/change/"
    assert "Save" not in admin_client.get(page).content.decode()
    assert admin_client.post(page, {"is_active": ""}).status_code == 403


def test_what_is_not_better_is_kept_and_not_used(
    calibrate: Any, tmp_path: Path
) -> None:
    file = tmp_path / "right.csv"
    rng = np.random.default_rng(4)
    scores = rng.normal(size=200)
    rows = [f"{x},{int(rng.random() < sigmoid(x))}" for x in scores]
    file.write_text("\n".join(["score,liked", *rows]))
    with pytest.raises(CommandError, match="Kept, but not used"):
        calibrate("--outcomes", file)
    assert MatchCalibration.objects.count() == 1
    assert calibrations.active() is None
    assert calibrate("--force", "--outcomes", file)["active"]


def test_there_is_a_way_back(calibrate: Any, tmp_path: Path) -> None:
    first = calibrate("--outcomes", outcomes(tmp_path, slope=3.0))["version"]
    second = calibrate("--outcomes", outcomes(tmp_path, slope=2.0))["version"]
    listed = {row["version"]: row["active"] for row in calibrate("--list")}
    assert listed == {second: True, first: False}
    calibrate("--use", first)
    active = calibrations.active()
    assert active is not None
    assert active.version == first
    assert calibrate("--deactivate") == {"version": None}
    assert calibrations.active() is None


def test_one_that_was_never_kept_cannot_be_used(calibrate: Any, tmp_path: Path) -> None:
    version = calibrate("--outcomes", outcomes(tmp_path, slope=3.0))["version"]
    with pytest.raises(CommandError, match="No calibration c-none is kept; see --list"):
        calibrate("--use", "c-none")
    active = calibrations.active()
    assert active is not None
    assert active.version == version


def test_only_one_can_be_active() -> None:
    MatchCalibration.objects.create(version="one", content={}, is_active=True)
    with pytest.raises(IntegrityError):
        MatchCalibration.objects.create(version="two", content={}, is_active=True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must name the columns score and liked"),
        ("score,like\n1,1", "must name the columns score and liked"),
        ("score,liked\n1.0,1\nhigh,1", "Line 3: score must be log-odds"),
        ("score,liked\nnan,1", "Line 2: score must be log-odds"),
        ("score,liked\n1.0,maybe", "Line 2: liked must be 1 or 0"),
        ("score,liked\n1.0", "Line 2: liked must be 1 or 0"),
        ("score,liked\n1.0,1\n0.0,0", "1 likes and 1 others are too few"),
    ],
)
def test_it_says_what_is_wrong_with_a_file(
    calibrate: Any, tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "outcomes.csv"
    file.write_text(text)
    with pytest.raises(CommandError, match=complaint):
        calibrate("--outcomes", file)
    assert not MatchCalibration.objects.exists()


def test_a_file_that_is_not_there_is_said_to_be_so(
    calibrate: Any, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match="No such file"):
        calibrate("--outcomes", tmp_path / "none.csv")
    (tmp_path / "photo").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(CommandError, match="no UTF-8"):
        calibrate("--outcomes", tmp_path / "photo")


def test_without_a_file_it_goes_by_what_came_of_the_pages_shown(
    calibrate: Any,
) -> None:
    with pytest.raises(CommandError, match="0 likes and 0 others are too few"):
        calibrate()
