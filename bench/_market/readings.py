"""Features of any number of people, drawn around readings of real photos."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from annotation import services as annotation
from bench._market.population import FloatArray
from matching.features import FeatureSpace, Sighting
from matching.population import fit_space
from matching.projection import Projection, untrained
from matching.seeding import crowd
from matching.seeding.likeness import Readings, likeness, vary
from matching.seeding.sources import RealPairs

Genders = npt.NDArray[np.str_]


class Crowd:
    """Draws people like the real ones, as `manage seedpeople` does, into memory."""

    def __init__(self, real: RealPairs) -> None:
        self.source = real.source
        self._real = real
        self._like = likeness(real.first, real.second)
        self._project = untrained(width=real.first.features.shape[1])
        self._space = _space(real, self._project)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[FloatArray, Genders]:
        """Features (count, 644) and genders (count,): as many women as men."""
        names = np.unique(self._real.genders)
        genders = rng.permutation(np.resize(names, count))
        rows = np.zeros(count, dtype=np.intp)
        for name in names:
            own = np.flatnonzero(self._real.genders == name)
            rows[genders == name] = rng.choice(own, int((genders == name).sum()))
        photos = vary(self._real.first[rows], self._like, rng).stored()
        return crowd.features(self._space, photos, self._project), genders


def _space(real: RealPairs, project: Projection) -> FeatureSpace:
    """The frame that the real photos themselves make."""
    seen = [*_sightings(real.first, project), *_sightings(real.second, project)]
    return fit_space(seen, model=annotation.active_version().name)


def _sightings(photos: Readings, project: Projection) -> list[Sighting]:
    embeddings = project(photos.features)
    return [
        Sighting(attributes, embedding)
        for attributes, embedding in zip(photos.attributes(), embeddings, strict=True)
    ]
