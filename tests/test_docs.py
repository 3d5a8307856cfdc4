"""What the documentation says is there, and what is there is documented."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from annotation.schema import DENY_LIST, SCHEMA
from profiles.ingest.refusal import STATUS_OF_KIND
from twinby.errors import DomainError
from twinby.rest import problems

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


# Kinds of problems: docs/errors.md ---------------------------------------------------

Kind = tuple[str, int]  # and its HTTP status


def domain_errors(
    base: type[DomainError] = DomainError,
) -> dict[str, type[DomainError]]:
    """Every error class of the product by its name."""
    import_module("twinby.urls")  # brings all the others along
    found = {base.__name__: base}
    for cls in base.__subclasses__():
        found |= domain_errors(cls)
    return {name: c for name, c in found.items() if c.__module__.startswith(OURS)}


def calls_by_name() -> Iterator[tuple[str, ast.Call]]:
    """Every `name(...)` in the API's sources: not of methods, nor of other modules."""
    for folder in ("profiles", "annotation", "matching", "twinby"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    yield node.func.id, node


def kind_argument(call: ast.Call) -> str | None:
    """The literal of `kind="..."` in a call, if it has one."""
    for keyword in call.keywords:
        if keyword.arg == "kind" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return None


def kinds_in_calls() -> Iterator[Kind]:
    """Of errors raised with a kind of their own, and of problems made directly."""
    errors = domain_errors()
    for name, call in calls_by_name():
        kind = kind_argument(call)
        if name in errors and kind:
            yield kind, errors[name].status
        match name, call.args:
            case "problem" | "_page", [ast.Constant(status), ast.Constant(named), *_]:
                yield str(named), int(str(status))


def kinds_in_tables() -> Iterator[Kind]:
    yield from ((error.kind, error.status) for error in domain_errors().values())
    yield from STATUS_OF_KIND.items()
    yield from (
        (kind, error.status_code) for error, kind in problems._API_KINDS.items()
    )
    yield from ((kind, status) for _, (status, kind, _) in problems._KNOWN)


def documented_kinds() -> list[Kind]:
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", text("docs/errors.md"), re.M)
    return [(kind, int(status)) for kind, status in rows]


def test_every_kind_of_problem_is_documented_with_its_status_and_no_other() -> None:
    documented = documented_kinds()
    assert len(documented) == len(set(documented))
    assert set(documented) == {*kinds_in_calls(), *kinds_in_tables()}


def test_no_kind_is_passed_on_that_is_not_documented() -> None:
    passed_on = {kind_argument(call) for _, call in calls_by_name()} - {None}
    assert "not-adult" in passed_on
    assert passed_on <= {kind for kind, _ in documented_kinds()}


def test_the_reference_of_modules_names_modules_that_exist() -> None:
    for page in PAGES:
        for path in re.findall(r"`((?:\w+/)+[\w.]*)`", page.read_text()):
            if path.split("/")[0] in OURS:
                assert (ROOT / path).exists(), f"{page.name}: {path}"
