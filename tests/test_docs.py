"""What the documentation says is there, and what is there is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from annotation.schema import DENY_LIST, SCHEMA

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
OURS = ("profiles", "annotation", "matching", "twinby", "demo")


def text(name: str) -> str:
    return (ROOT / name).read_text()


def sources() -> str:
    files = [f for folder in OURS for f in (ROOT / folder).rglob("*.py")]
    return "\n".join(file.read_text() for file in [*files, ROOT / "run"])


def test_every_attribute_is_documented_as_it_is() -> None:
    rows = re.findall(
        r"^\| (\w+) \| `(\w+)` \| (\w+)(, ordered)? \| ([\w ]+) \|$",
        text("docs/annotation.md"),
        re.MULTILINE,
    )
    documented = [(g, n, k, bool(o), tuple(v.split())) for g, n, k, o, v in rows]
    assert documented == [
        (a.group.value, a.name, a.kind.value, a.ordered, a.values) for a in SCHEMA
    ]


def test_what_is_never_inferred_is_on_the_deny_list() -> None:
    promised = (
        "race ethnicity nationality skin_tone religion politics health disability "
        "pregnancy sexual_orientation income attractiveness age identity"
    )
    assert set(promised.split()) <= DENY_LIST


def test_every_setting_is_in_the_example_file_and_nothing_else() -> None:
    read = set(re.findall(r'env_\w+\(\s*"([A-Z0-9_]+)"', sources()))
    example = text(".env.example")
    listed = set(re.findall(r"^#?([A-Z0-9_]+)=", example, re.MULTILINE))
    assert read <= set(re.findall(r"\b[A-Z0-9_]+\b", example))
    assert all(name in sources() for name in listed)


@pytest.mark.parametrize(
    "command",
    sorted(
        file.stem
        for folder in OURS
        for file in (ROOT / folder).glob("management/commands/*.py")
        if file.stem != "__init__"
    ),
)
def test_every_command_is_in_the_operators_page(command: str) -> None:
    assert re.search(rf"\b{command}\b", text("docs/operations.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_reference_of_modules_names_modules_that_exist() -> None:
    for page in PAGES:
        for path in re.findall(r"`((?:\w+/)+[\w.]*)`", page.read_text()):
            if path.split("/")[0] in OURS:
                assert (ROOT / path).exists(), f"{page.name}: {path}"
