"""A fake annotator for tests with processes: slow, and it keeps a diary in a file."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from annotation.backends.base import AnnotationError, Reading
from annotation.backends.fake import FakeAnnotator

DIARY, SECONDS = "TWINBY_TEST_DIARY", "TWINBY_TEST_SECONDS"


class SlowAnnotator(FakeAnnotator):
    """Takes its time for a batch, and writes down what it has read."""

    def read(self, photos: Sequence[bytes]) -> list[Reading | AnnotationError]:
        self._write(*("began " + name_of(photo) for photo in photos))
        time.sleep(float(os.environ[SECONDS]))
        self._write(*("read " + name_of(photo) for photo in photos))
        return super().read(photos)

    def close(self) -> None:
        self._write("closed")

    def _write(self, *lines: str) -> None:
        with Path(os.environ[DIARY]).open("a") as diary:
            diary.write("".join(f"{line}\n" for line in lines))


def name_of(photo: bytes) -> str:
    return hashlib.sha256(photo).hexdigest()[:12]


class SlowToMake(FakeAnnotator):
    """Takes long enough to be made that another thread would make a second one."""

    closed = 0

    def __init__(self) -> None:
        time.sleep(0.2)

    def close(self) -> None:
        type(self).closed += 1
