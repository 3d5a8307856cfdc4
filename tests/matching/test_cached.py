"""Files of features: both kinds are read, and whatever is wrong with one is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matching.training.cached import CachedFeatures, FeaturesError, from_file

FEATURES = np.arange(12, dtype=np.float32).reshape(4, 3)
PEOPLE = ["a/one", "a/one", "two", "two"]


def check_read(cached: CachedFeatures) -> None:
    assert cached.features.tolist() == FEATURES.tolist()
    assert cached.features.dtype == np.float32
    assert cached.people.tolist() == PEOPLE
    assert cached.annotator == "fake:fake-1"


def npz(file: Path) -> Path:
    np.savez(file, features=FEATURES, people=np.array(PEOPLE), annotator="fake:fake-1")
    return file


def test_an_npz_is_read(tmp_path: Path) -> None:
    check_read(from_file(npz(tmp_path / "features.npz")))


def test_json_lines_are_read_by_folder_or_by_who_is_named(tmp_path: Path) -> None:
    whose: list[dict[str, Any]] = [
        {"file": "a/one/1.jpg"},
        {"file": "a/one/2.jpg", "person": None},
        {"person": "two"},
        {"person": "two", "file": "a/one/3.jpg"},
    ]
    lines = [
        {**who, "features": features, "annotator": "fake:fake-1"}
        for who, features in zip(whose, FEATURES.tolist(), strict=True)
    ]
    lines.insert(1, {"file": "a/one/x.jpg", "error": "not-an-image"})
    file = tmp_path / "features.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    check_read(from_file(file))


def encrypted(data: bytes) -> bytes:
    """The flag that says so, in the first entry of the central directory."""
    flags = data.index(b"PK\x01\x02") + 8
    return data[:flags] + b"\x01" + data[flags + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "overwritten": lambda data: data.replace(
        FEATURES.tobytes(), bytes(FEATURES.nbytes)
    ),
    "encrypted": encrypted,
    "text": lambda data: b"features",
    "no people": lambda data: data.replace(b"people.npy", b"places.npy"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_npz_is_named(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    file = npz(tmp_path / "features.npz")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(FeaturesError, match=r"features\.npz .* write it anew, with"):
        from_file(file)


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[1]",
        "5",
        "",
        '{"features": [1, 2, 3], "annotator": "fake:fake-1"}',
        '{"person": 5, "features": [1, 2, 3], "annotator": "fake:fake-1"}',
        '{"person": 0, "file": "a/1.jpg", "features": [1], "annotator": "fake:fake-1"}',
        '{"file": 5, "features": [1, 2, 3], "annotator": "fake:fake-1"}',
        '{"person": "a", "features": "many", "annotator": "fake:fake-1"}',
        '{"person": "a", "features": 5, "annotator": "fake:fake-1"}',
        '{"person": "a", "features": [[1, 2, 3]], "annotator": "fake:fake-1"}',
        '{"person": "a", "features": [1, 2, 3], "annotator": ["fake"]}',
    ],
)
def test_a_line_of_anything_else_is_named(tmp_path: Path, line: str) -> None:
    good = '{"person": "a", "features": [1, 2, 3], "annotator": "fake:fake-1"}\n'
    file = tmp_path / "features.jsonl"
    file.write_text(f"{good}{line}\n{good}")
    says = r"features\.jsonl, line 2, holds no features .* as annotatephotos writes it"
    with pytest.raises(FeaturesError, match=says):
        from_file(file)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "features.jsonl"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(FeaturesError, match=r"features\.jsonl .* write it anew, with"):
        from_file(file)
