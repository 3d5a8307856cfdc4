"""How an encoder is trained, read from a TOML file: `recipes/small.toml` shows all."""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping, Set
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from annotation.small.heads import FACE_HEADS, PHOTO_HEADS
from annotation.training.augment import Changes
from annotation.training.views import CELEBA, CLOTHING, NEITHER

DEFAULT: Final = Path(__file__).parent / "recipes" / "small.toml"
SOURCES: Final = {"celeba": CELEBA, "clothing": CLOTHING, "neither": NEITHER}
STAGE_NAME: Final = re.compile("[a-z][a-z-]*")  # checkpoints are named by it
STARTS: Final = ("imagenet", "nothing")
HEADS_OF: Final = {"face": FACE_HEADS, "photo": PHOTO_HEADS}
OPTIONAL: Final = frozenset({"frozen_blocks", "passed_over", "weights"})  # of a branch
# The source by which a branch's epochs are judged, and counted.
JUDGED_BY: Final = {"face": "celeba", "photo": "clothing"}


class RecipeError(Exception):
    """The file does not say how to train; the message names the place."""


@dataclass(frozen=True)
class Stage:
    """Some epochs alike. `rate`: the highest of AdamW, `trunk_rate`: the trunk's.

    `metric`: weight of the metric loss. `people`: batches of P people x K photos.
    `self_taught`: how far the branch's own earlier answers are believed, in the end.
    """

    name: str
    epochs: int
    rate: float
    trunk_rate: float
    metric: float = 0.0
    people: bool = False
    patience: int = 5
    self_taught: float = 0.0


@dataclass(frozen=True)
class BranchRecipe:
    """How one branch is trained. `shares`: of the sources in an epoch's views.

    `passed_over`: the chance with which an image passes over the trunk's last block.
    `weights`: of heads whose loss counts for more, or less, than 1.
    """

    batch: int
    shares: dict[int, float]
    changes: Changes
    stages: tuple[Stage, ...]
    frozen_blocks: int = 0
    passed_over: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """The whole: the same recipe and data give the same weights on one machine."""

    seed: int
    start: str
    face: BranchRecipe
    photo: BranchRecipe


def digest(path: Path = DEFAULT) -> str:
    """The sha256 of what a recipe says, whatever remarks it makes."""
    told = json.dumps(tomllib.loads(path.read_text()), sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def read(path: Path = DEFAULT) -> Recipe:
    """Raises RecipeError with what is wrong and where."""
    try:
        told = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}") from error
    _check_keys(told, {"seed", "start", "face", "photo"}, "the file")
    if told["start"] not in STARTS:
        raise RecipeError(f"start is one of {', '.join(STARTS)}")
    seed = _number(told, "seed", "the file", least=0, kind=int)
    face, photo = (_branch(told[name], name) for name in JUDGED_BY)
    return Recipe(int(seed), told["start"], face, photo)


def _branch(told: Any, name: str) -> BranchRecipe:
    keys = {"batch", "shares", "zoom", "hidden", "stages"}
    _check_keys(told, keys, f"[{name}]", optional=OPTIONAL)
    shares = told["shares"]
    if not isinstance(shares, dict) or not shares or set(shares) - set(SOURCES):
        raise RecipeError(f"[{name}] shares is a table of {', '.join(SOURCES)}")
    if JUDGED_BY[name] not in shares or _number(shares, JUDGED_BY[name], name) == 0:
        raise RecipeError(f"[{name}] shares lacks {JUDGED_BY[name]}")
    if not told["stages"] or not isinstance(told["stages"], list):
        raise RecipeError(f"[[{name}.stages]] is missing")
    stages = tuple(_stage(one, name) for one in told["stages"])
    if len({stage.name for stage in stages}) < len(stages):
        raise RecipeError(f"[[{name}.stages]]: two have one name, and one checkpoint")
    return BranchRecipe(
        batch=int(_number(told, "batch", name, least=2, kind=int)),
        shares={SOURCES[key]: _number(shares, key, name) for key in shares},
        changes=Changes(
            zoom=_number(told, "zoom", name), hidden=_number(told, "hidden", name)
        ),
        stages=stages,
        frozen_blocks=int(
            _number({"frozen_blocks": 0} | told, "frozen_blocks", name, kind=int)
        ),
        passed_over=_chance({"passed_over": 0.0} | told, "passed_over", name),
        weights=_weights(told.get("weights", {}), name),
    )


def _weights(told: Any, branch: str) -> dict[str, float]:
    heads = {head.name for head in HEADS_OF[branch]}
    if not isinstance(told, dict) or set(told) - heads:
        names = ", ".join(sorted(heads))
        raise RecipeError(f"[{branch}] weights is a table of {names}")
    return {name: _number(told, name, f"[{branch}] weights") for name in told}


def _stage(told: Any, branch: str) -> Stage:
    needed = {field.name for field in fields(Stage) if field.default is MISSING}
    optional = {field.name for field in fields(Stage)} - needed
    place = f"[[{branch}.stages]]"
    _check_keys(told, needed, place, optional=optional)
    for key, least in (("epochs", 1), ("patience", 1)):
        if key in told:
            _number(told, key, place, least=least, kind=int)
    for key in {"rate", "trunk_rate", "metric"} & set(told):
        _number(told, key, place)
    if "self_taught" in told:
        _chance(told, "self_taught", place)
    if not STAGE_NAME.fullmatch(str(told["name"])):
        raise RecipeError(f"{place}: name is made of small letters and hyphens")
    if not isinstance(told.get("people", False), bool):
        raise RecipeError(f"{place}: people is true or false")
    return Stage(**told)


def _check_keys(
    told: Any, needed: set[str], place: str, *, optional: Set[str] = frozenset()
) -> None:
    if not isinstance(told, dict):
        raise RecipeError(f"{place} is not a table")
    if missing := sorted(needed - set(told)):
        raise RecipeError(f"{place} lacks {', '.join(missing)}")
    if unknown := sorted(set(told) - needed - optional):
        raise RecipeError(f"{place} has unknown {', '.join(unknown)}")


def _chance(told: dict[str, Any], key: str, place: str) -> float:
    chance = _number(told, key, place)
    if chance >= 1:
        raise RecipeError(f"{place}: {key} is a chance below 1")
    return chance


def _number(
    told: dict[str, Any],
    key: str,
    place: str,
    *,
    least: float = 0.0,
    kind: type[int] | tuple[type, ...] = (int, float),
) -> float:
    value = told[key]
    fits = isinstance(value, kind) and not isinstance(value, bool)
    if not fits or not math.isfinite(value) or value < least:
        raise RecipeError(f"{place}: {key} is a number of at least {least:g}")
    return float(value)
