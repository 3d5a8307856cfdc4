"""Environment variables: typed, and loud on nonsense."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinby.env import (
    EnvError,
    env_bool,
    env_float,
    env_int,
    env_list,
    env_secret,
    env_text,
)

NAME = "TWINBY_TEST_VALUE"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv(NAME, raising=False)
    return monkeypatch


def test_an_absent_or_empty_variable_is_its_default(
    given: pytest.MonkeyPatch,
) -> None:
    for _ in range(2):
        assert env_text(NAME, "text") == "text"
        assert env_bool(NAME, default=True) is True
        assert env_int(NAME, 7) == 7
        assert env_float(NAME, 0.5) == 0.5
        assert env_list(NAME, "a,b") == ["a", "b"]
        assert env_secret(NAME) == ""
        given.setenv(NAME, "")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("TRUE", True), ("on", True), ("no", False), ("0", False)],
)
def test_a_switch_is_on_or_off(
    given: pytest.MonkeyPatch, *, text: str, value: bool
) -> None:
    given.setenv(NAME, text)
    assert env_bool(NAME, default=not value) is value


def test_numbers_and_lists_are_read(given: pytest.MonkeyPatch) -> None:
    given.setenv(NAME, "42")
    assert env_int(NAME, 0) == 42
    assert env_float(NAME, 0) == 42.0
    given.setenv(NAME, " a, ,b ,")
    assert env_list(NAME) == ["a", "b"]


def test_nonsense_is_refused_by_name_and_without_its_value(
    given: pytest.MonkeyPatch,
) -> None:
    given.setenv(NAME, "pa55word")
    for read in (
        lambda: env_bool(NAME, default=True),
        lambda: env_int(NAME, 1),
        lambda: env_float(NAME, 1),
    ):
        with pytest.raises(EnvError, match=NAME) as refusal:
            read()
        assert "pa55word" not in str(refusal.value)


@pytest.mark.parametrize("text", ["nan", "inf", "-3"])
def test_a_number_must_be_finite_and_no_less_than_the_least(
    given: pytest.MonkeyPatch, text: str
) -> None:
    given.setenv(NAME, text)
    with pytest.raises(EnvError, match=NAME):
        env_float(NAME, 1.0, least=0.0)
    given.setenv(NAME, "-3")
    with pytest.raises(EnvError, match="0 or more"):
        env_int(NAME, 1, least=0)
    assert env_int(NAME, 1) == -3


def test_a_secret_may_lie_in_a_file(given: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from the file\n")
    given.setenv(NAME, "from the variable")
    given.setenv(f"{NAME}_FILE", str(file))
    assert env_secret(NAME) == "from the file"
    file.unlink()
    with pytest.raises(EnvError, match=f"{NAME}_FILE"):
        env_secret(NAME)
