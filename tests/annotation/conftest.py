"""Photos that wait to be read, and annotators that do as they are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from annotation.backends import BACKENDS
from annotation.services import reading as reading_service
from profiles.models import Photo, Profile
from tests.annotation.scripted import Outcome, Script, Scripted
from tests.conftest import MakePhoto


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Installs an annotator that gives these outcomes."""

    def install(*outcomes: Outcome | BaseException) -> Scripted:
        annotator = Scripted(*outcomes)
        monkeypatch.setattr(reading_service, "get_annotator", lambda _: annotator)
        return annotator

    return install


@pytest.fixture
def photo(alice: Profile, make_photo: MakePhoto) -> Photo:
    return make_photo(alice, published=False)


@pytest.fixture
def priced(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes a photo cost so much at the worst."""

    def price(usd: float) -> None:
        dear = replace(BACKENDS["fake"], worst_cost_usd=lambda: usd)
        monkeypatch.setitem(BACKENDS, "fake", dear)

    return price
