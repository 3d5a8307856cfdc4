"""The local back end's settings: known without a model, loud on nonsense."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from annotation import backends, prompt
from annotation.backends import BACKENDS, annotator_version
from annotation.backends.base import AnnotatorVersion
from annotation.backends.local.configuration import (
    DEFAULT_MODEL,
    IMAGE_SIDES,
    LocalConfig,
    configured,
    version,
)
from annotation.models import Annotation
from profiles.ingest import ANNOTATION_SIDE_PIXELS
from twinby.env import EnvError

ROOT = Path(__file__).parents[3]
CONFIG = LocalConfig("org/Model-7B", revision="main", device="cpu", quantization="none")


def test_without_settings_it_is_the_documented_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TWINBY_VLM_MODEL", raising=False)
    assert configured().model == DEFAULT_MODEL
    assert version().model.startswith("Qwen2.5-VL-7B-Instruct-")
    assert version().prompt == prompt.VERSION


@pytest.mark.parametrize(
    ("name", "text", "field", "expected"),
    [
        ("TWINBY_VLM_MODEL", "/models/mine", "model", "/models/mine"),
        ("TWINBY_VLM_REVISION", "abc", "revision", "abc"),
        ("TWINBY_VLM_DEVICE", "cpu", "device", "cpu"),
        ("TWINBY_VLM_QUANTIZATION", "fp8", "quantization", "fp8"),
        ("TWINBY_VLM_SIDE", "336", "image_side", 336),
        ("TWINBY_VLM_FEATURES", "org/siglip", "features", "org/siglip"),
        ("TWINBY_VLM_BATCH", "8", "batch", 8),
        ("TWINBY_GPU_USD_PER_HOUR", "3.5", "usd_per_gpu_hour", 3.5),
    ],
)
def test_every_setting_arrives(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, field: str, expected: Any
) -> None:
    monkeypatch.setenv(name, text)
    assert getattr(configured(), field) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TWINBY_VLM_DEVICE", "toaster"),
        ("TWINBY_VLM_QUANTIZATION", "int3"),
        ("TWINBY_VLM_SIDE", "20"),
        ("TWINBY_VLM_SIDE", "449"),
        ("TWINBY_VLM_SIDE", "large"),
        ("TWINBY_VLM_BATCH", "0"),
        ("TWINBY_GPU_USD_PER_HOUR", "-1"),
        ("TWINBY_GPU_USD_PER_HOUR", "nan"),
    ],
)
def test_nonsense_is_told_by_the_name_of_its_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(EnvError, match=name):
        configured()


@pytest.mark.parametrize(
    "other",
    [
        {"model": "elsewhere/Model-7B"},
        {"revision": "v2"},
        {"quantization": "int8"},
        {"image_side": 336},
        {"features": "org/clip"},
    ],
    ids=str,
)
def test_what_changes_the_reading_changes_the_version(other: dict[str, Any]) -> None:
    changed = dataclasses.replace(CONFIG, **other)
    assert changed.version.model.startswith("Model-7B-")
    assert changed.version != CONFIG.version


def test_where_and_how_fast_it_runs_changes_no_version() -> None:
    elsewhere = dataclasses.replace(
        CONFIG, device="cuda", batch=64, usd_per_gpu_hour=3.0
    )
    assert elsewhere.version == CONFIG.version


@pytest.mark.parametrize("model", ["x" * 300, "/models/my model@2:b", "org/Mödel"])
def test_any_model_has_a_name_that_fits_and_can_be_read_back(model: str) -> None:
    named = dataclasses.replace(CONFIG, model=model).version
    column = Annotation._meta.get_field("model")
    assert column.max_length is not None
    assert len(named.model) <= column.max_length
    assert AnnotatorVersion.of_name(named.name) == named


def test_a_web_process_knows_the_version_without_torch() -> None:
    script = (
        "import sys; from annotation.backends.local.configuration import version;"
        "assert version().backend == 'local';"
        "assert not {'torch', 'transformers', 'PIL'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_no_side_is_larger_than_the_renditions_are() -> None:
    assert max(IMAGE_SIDES) == ANNOTATION_SIDE_PIXELS


def test_the_package_of_back_ends_hides_none_of_them() -> None:
    for name in ("local", "remote"):
        assert getattr(backends, name) is sys.modules[f"annotation.backends.{name}"]


def test_it_is_read_by_workers_with_a_gpu_in_large_batches() -> None:
    assert annotator_version("local") == version()
    assert (BACKENDS["local"].queue, BACKENDS["local"].batch) == ("gpu", 64)
