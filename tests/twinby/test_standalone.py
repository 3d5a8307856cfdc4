"""Commands that need no service, as a machine without any of them runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import labelled

ROOT = Path(__file__).resolve().parents[2]


def manage(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """manage.py with nothing in its environment but the way to programs, and these."""
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_photos_are_read(tmp_path: Path) -> None:
    photos = sorted(map(str, (ROOT / "demo/photos").rglob("*.webp")))[:2]
    out = tmp_path / "out.jsonl"
    answer = manage(
        "annotatephotos", *photos, "--backend", "small", "--jsonl", str(out)
    )
    assert answer.returncode == 0, answer.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["file"] for line in lines] == photos
    assert all(line["attributes"] for line in lines)


def test_a_setting_that_makes_no_sense_is_named_in_one_line() -> None:
    answer = manage("exportopenapi", TWINBY_DAILY_BUDGET_USD="20€")
    assert answer.returncode == 1
    assert answer.stderr == "twinby: TWINBY_DAILY_BUDGET_USD must be a number\n"


def test_the_schema_is_printed_and_nothing_else() -> None:
    answer = manage("exportopenapi")
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    assert yaml.safe_load(answer.stdout)["paths"]


@pytest.mark.parametrize("command", ["trainencoder", "evaluate"])
def test_training_and_measuring_ask_for_data_only(command: str) -> None:
    answer = manage(command, "--data", "/nowhere")
    assert "There is no data folder /nowhere" in answer.stderr


def test_an_annotator_is_measured(tmp_path: Path) -> None:
    data = labelled.make(tmp_path / "data")
    answer = manage("evaluate", "--annotator", "fake", "--data", str(data))
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["headlines"]


@pytest.mark.parametrize("command", ["annotate", "migrate", ""])
def test_other_commands_are_sent_to_a_database(command: str) -> None:
    answer = manage(command)
    assert answer.returncode == 1
    assert answer.stderr.startswith("Use ./run manage")
