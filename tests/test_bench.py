"""The benchmarks: one JSON line each, true figures, and nothing left behind."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench import annotate, search
from bench._bench import quantiles
from matching import selectors
from matching.services import fit_feature_space
from profiles.models import Client, Gender, Photo, Profile
from tests.conftest import MakePerson, MakePhoto

Out = pytest.CaptureFixture[str]


@pytest.fixture
def women(
    work: Callable[[], None], make_person: MakePerson, make_photo: MakePhoto
) -> None:
    """Twenty-four women who seek men, read and indexed."""
    for _ in range(24):
        make_photo(make_person(seeking=[Gender.MAN]))
    work()
    fit_feature_space()


def test_search_agrees_with_a_scan_over_everybody(
    women: None, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    people = Profile.objects.count()
    monkeypatch.setattr(sys, "argv", ["search", "--queries", "3"])
    search.main()
    answer = json.loads(capsys.readouterr().out)
    assert answer["benchmark"] == "search"
    assert answer["people"] == answer["eligible"] == 24
    assert answer["overlap_at_20"] == 1
    for name in ("search_ms", "count_ms", "peer_ms"):
        assert 0 < answer[name]["p50"] <= answer[name]["p95"]
    assert Profile.objects.count() == people


def test_a_search_that_loses_people_is_seen(
    women: None, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    whole = selectors.candidates

    def worse(*args: Any, **options: Any) -> Any:
        return whole(*args, **options)[::2]

    monkeypatch.setattr(selectors, "candidates", worse)
    monkeypatch.setattr(sys, "argv", ["search", "--queries", "3"])
    search.main()
    assert json.loads(capsys.readouterr().out)["overlap_at_20"] < 0.6


def test_search_says_when_nobody_is_there(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["search"])
    with pytest.raises(SystemExit, match="Nobody is there"):
        search.main()


def test_annotate_counts_photos_and_leaves_nothing_behind(
    db: None, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr(sys, "argv", ["annotate", "--faces", "2", "--rounds", "2"])
    annotate.main()
    answer = json.loads(capsys.readouterr().out)
    assert answer["photos"] == 4
    assert answer["annotator"] == "fake-1"
    for name in ("ingested", "read", "annotated"):
        assert answer[f"{name}_per_second"] > 0
    assert answer["machine"]["cores"] >= 1
    assert not Photo.objects.exists()
    assert not Client.objects.exists()


def test_quantiles_are_of_the_times_given() -> None:
    assert quantiles(np.arange(101.0).tolist()) == {"p50": 50.0, "p95": 95.0}
