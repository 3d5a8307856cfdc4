"""The law of the house: who may import whom, what is light, what goes with whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.db.models import CASCADE, ForeignKey
from django.urls import URLPattern, URLResolver, get_resolver

from profiles.models import Photo, Profile

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "transformers", "onnxruntime", "cv2", "pytorch_metric_learning")
LONGEST_MODULE = 300
OURS = ("profiles", "annotation", "matching", "twinby", "demo", "bench")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )


def test_imports_obey_the_law() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    kept = run(str(lint), "--no-cache")
    assert kept.returncode == 0, kept.stdout


def test_a_web_process_loads_no_model_runtime() -> None:
    web = f"""
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "twinby.settings.test"
import twinby.settings.test as settings
settings.ANNOTATOR = "small"
import twinby.wsgi, twinby.urls
from annotation.services import active_version
assert active_version().backend == "small"
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    answer = run(sys.executable, "-c", web)
    assert answer.stdout.strip() == "[]", answer.stderr


@pytest.mark.parametrize("owner", [Profile, Photo])
def test_everything_that_hangs_on_a_person_goes_with_them(
    owner: type[Profile | Photo],
) -> None:
    for model in apps.get_models():
        for field in model._meta.get_fields():
            if isinstance(field, ForeignKey) and field.related_model is owner:
                assert field.remote_field.on_delete is CASCADE, f"{model}.{field.name}"


def test_modules_say_one_thing() -> None:
    long = {
        str(file.relative_to(ROOT)): count
        for folder in OURS
        for file in (ROOT / folder).rglob("*.py")
        if (count := len(file.read_text().splitlines())) > LONGEST_MODULE
        and "migrations" not in file.parts
    }
    assert long == {}


def test_every_api_path_asks_who_is_calling_but_for_those_that_cannot() -> None:
    open_to_all = {
        "v1/tokens",
        "v1/photos/<uuid:photo_id>/image",
        "v1/schema",
        "v1/docs",
        "v1/livez",
        "v1/readyz",
    }
    found = set()
    for path, pattern in _walk(get_resolver().url_patterns):
        view = getattr(pattern.callback, "view_class", None)
        asks = bool(getattr(view, "authentication_classes", ()))
        if path.startswith("v1/") and not asks:
            found.add(path)
    assert found == open_to_all


def _walk(
    patterns: list[URLPattern | URLResolver], prefix: str = ""
) -> list[tuple[str, URLPattern]]:
    found = []
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += _walk(pattern.url_patterns, path)
        else:
            found.append((path, pattern))
    return found
