"""A Vision-Language Model on a GPU of ours, behind the same door as any annotator."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from annotation.answers import Answer, sight
from annotation.backends.base import (
    AnnotationError,
    AnnotatorVersion,
    BackendUnavailableError,
    Call,
    Reading,
)
from annotation.backends.local.configuration import LocalConfig, configured
from twinby.env import env_int

if TYPE_CHECKING:  # they need torch, which not everybody has
    from annotation.backends.local.engine import Engine, Model, Scored

# One decodes about 1,000 renditions a second: more of them only get in the GPU's way.
MOST_DECODERS: Final = 4
SAID: Final = 200
# What is missing is looked for again this long after it was missed, not by every job.
RETRY_SECONDS: Final = 30.0


def load(config: LocalConfig) -> Model:
    """The configured model. Raises BackendUnavailableError, saying what is needed."""
    from annotation.backends.local import loading

    return loading.load(config)


class LocalAnnotator:
    """Loaded on first use, safe to share: its threads fill each other's batches."""

    def __init__(
        self,
        config: LocalConfig | None = None,
        load: Callable[[LocalConfig], Model] = load,
    ) -> None:
        self._config = config or configured()
        self._load = load
        self._loading = threading.Lock()
        self._engine: Engine | None = None
        self._missing, self._missed_at = "", 0.0

    @property
    def version(self) -> AnnotatorVersion:
        return self._config.version

    def read(self, photos: Sequence[bytes]) -> list[Reading | AnnotationError]:
        """Read encoded images; one outcome each, in their order.

        Raises BackendUnavailableError if weights, memory or a GPU is missing.
        """
        started = time.perf_counter()
        found = self._ready().score(photos) if photos else []
        seconds = (time.perf_counter() - started) / max(1, len(photos))
        return [
            one if isinstance(one, AnnotationError) else self._reading(one, seconds)
            for one in found
        ]

    def close(self) -> None:
        """Finish what was begun, and let go of the model."""
        with self._loading:
            if self._engine is not None:
                self._engine.close()
            self._engine = None

    def _ready(self) -> Engine:
        with self._loading:
            if self._engine is None:
                self._engine = self._started()
            return self._engine

    def _started(self) -> Engine:
        if self._missing and time.monotonic() - self._missed_at < RETRY_SECONDS:
            raise BackendUnavailableError(self._missing)
        try:
            return started(self._config, self._load)
        except BackendUnavailableError as error:
            self._missing, self._missed_at = str(error), time.monotonic()
            raise

    def _reading(self, scored: Scored, seconds: float) -> Reading:
        seen = sight([*map(Answer, scored.probabilities, scored.mass)])
        call = Call(
            seconds=seconds,
            tokens_in=scored.scores.tokens,
            gpu_seconds=scored.gpu_seconds,
            cost_usd=scored.gpu_seconds * self._config.usd_per_gpu_hour / 3_600,
        )
        return Reading(
            attributes=seen.attributes,
            gates=seen.gates,
            features=scored.features,
            seconds=seconds,
            mass=seen.mass,
            calls=(call,),
        )


def started(config: LocalConfig, load: Callable[[LocalConfig], Model]) -> Engine:
    """The configured model at work. Raises BackendUnavailableError."""
    try:
        from annotation.backends.local import engine

        return engine.started(
            lambda: load(config), batch=config.batch, threads=decoders()
        )
    except BackendUnavailableError:
        raise
    except ModuleNotFoundError as error:
        raise BackendUnavailableError(
            f"The annotator `local` needs {error.name or error}: "
            "install what requirements/vlm.txt lists."
        ) from None
    except Exception as error:  # no photo has been seen: none is to blame
        raise BackendUnavailableError(unloadable(error)) from error


def unloadable(error: Exception) -> str:
    """What to say of an error in loading that nobody has foreseen."""
    said = next(iter(str(error).splitlines()), "")[:SAID]
    return f"The model could not be loaded: {type(error).__name__}: {said}"


def decoders() -> int:
    """How many threads decode photos."""
    return env_int("TWINBY_THREADS", 0) or min(MOST_DECODERS, os.cpu_count() or 1)
