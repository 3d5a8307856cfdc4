"""What a provider was seen to be able to do, which it is asked for accordingly."""

from __future__ import annotations

from annotation.backends.remote.dialects import FEATURES, Dialect, Feature
from annotation.backends.remote.transport import Pace


class Abilities:
    """What one provider can do; what it could not is tried again now and then."""

    def __init__(self, dialect: Dialect, pace: Pace) -> None:
        self._all, self._pace = FEATURES[dialect], pace
        self._lacking: dict[Feature, float] = {}
        self._certain_in_a_row = 0
        self._usual_until = pace.clock()

    def features(self) -> tuple[Feature, ...]:
        """What to ask for now."""
        now = self._pace.clock()
        return tuple(f for f in self._all if self._lacking.get(f, now) <= now)

    def lacks(self, feature: Feature) -> None:
        """Go without it for now."""
        self._lacking[feature] = self._pace.clock() + self._pace.until_probe

    def note_probabilities(self, *, given: bool) -> None:
        """Count an answer that was asked to come with probabilities."""
        if given:
            self._certain_in_a_row = 0
            self._usual_until = self._pace.clock() + self._pace.until_probe
        else:
            self._certain_in_a_row += 1

    @property
    def usually_gives_probabilities(self) -> bool:
        """So it is taken to be until several answers, and none of late, show it not."""
        few = self._certain_in_a_row < self._pace.certain
        return few or self._pace.clock() < self._usual_until
