"""What a server that the public reaches is warned of, by every app's checks."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Tags, run_checks

WARNED = {"demo.W001", "profiles.W001"}


def found(settings: Any, **given: Any) -> set[str]:
    for name, value in given.items():
        setattr(settings, name, value)
    return WARNED & {str(one.id) for one in run_checks(tags=[Tags.security])}


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({"PUBLIC_URL": "https://match.example", "DEMO_PAGE": False}, set()),
        ({"PUBLIC_URL": "http://match.example", "DEMO_PAGE": False}, {"profiles.W001"}),
        ({"PUBLIC_URL": "https://match.example", "DEMO_PAGE": True}, {"demo.W001"}),
    ],
)
def test_production_is_warned_of_an_open_demo_and_of_links_without_tls(
    settings: Any, given: dict[str, Any], warned: set[str]
) -> None:
    assert found(settings, PRODUCTION=True, **given) == warned


def test_a_machine_of_ones_own_is_not_warned(settings: Any) -> None:
    given = {"PUBLIC_URL": "http://127.0.0.1:8000", "DEMO_PAGE": True}
    assert found(settings, PRODUCTION=False, **given) == set()
