"""System checks stop what must not run, and say what to do."""

from __future__ import annotations

from typing import Any

import pytest

from annotation import checks


def ids(messages: list[Any]) -> list[str]:
    return [message.id for message in messages]


def test_an_unknown_annotator_is_an_error(settings: Any) -> None:
    settings.ANNOTATOR = "crystal-ball"
    assert ids(checks.annotator_is_known()) == ["annotation.E001"]


@pytest.mark.parametrize(
    ("production", "found"), [(True, ["annotation.E002"]), (False, [])]
)
def test_the_fake_annotator_is_refused_in_production_only(
    settings: Any, production: bool, found: list[str]
) -> None:
    settings.ANNOTATOR, settings.PRODUCTION = "fake", production
    assert ids(checks.fake_annotator_stays_in_tests()) == found


def test_research_weights_warn_in_production_until_accepted(settings: Any) -> None:
    settings.ANNOTATOR, settings.PRODUCTION = "small", True
    assert ids(checks.research_weights_are_a_choice()) == ["annotation.W001"]
    settings.ACCEPT_RESEARCH_WEIGHTS = True
    assert checks.research_weights_are_a_choice() == []


def test_nonsense_about_the_local_model_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert checks.local_model_is_well_described() == []
    monkeypatch.setenv("TWINBY_VLM_DEVICE", "toaster")
    found = checks.local_model_is_well_described()
    assert ids(found) == ["annotation.E003"]
    assert "TWINBY_VLM_DEVICE" in found[0].msg


def test_a_machine_without_the_libraries_of_the_local_model_is_told_so(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ANNOTATOR = "local"
    monkeypatch.setattr(checks, "MODEL_LIBRARIES", ("numpy", "no_such_library"))
    found = checks.local_model_can_run_somewhere()
    assert ids(found) == ["annotation.W002"]
    assert "no_such_library" in found[0].msg
    assert "requirements/vlm.txt" in str(found[0].hint)
    settings.ANNOTATOR = "small"
    assert checks.local_model_can_run_somewhere() == []
