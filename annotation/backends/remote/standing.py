"""What becomes of a server's wishes and rejections, for all photos together."""

from __future__ import annotations

from collections.abc import Callable


class Absence:
    """For how long a server wants no requests: whoever was told so, all keep to it."""

    def __init__(self, longest: float, clock: Callable[[], float]) -> None:
        self._longest, self._clock = longest, clock
        self._until = clock()

    @property
    def seconds(self) -> float:
        """What is left of it; 0 where requests are welcome."""
        return max(0.0, self._until - self._clock())

    def extend(self, seconds: float) -> None:
        """Stay away for so long from now, if that is longer than what is left."""
        wanted = self._clock() + min(seconds, self._longest)
        self._until = max(self._until, wanted)


class Rejections:
    """Whom a server's rejection speaks against: the photo, or the server itself.

    A server that takes no photos, or not with our parameters, rejects all of them. So
    a rejection is a photo's own only where others are read, and few are rejected in a
    row.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._has_read = False
        self._photos: set[int] = set()  # hashes, since the last one that was read

    def note_read(self) -> None:
        """Some photo was read."""
        self._has_read = True
        self._photos.clear()

    def is_own(self, photo_url: str) -> bool:
        """Count a photo as rejected, and say whether that is its own fault."""
        if len(self._photos) < self._limit:
            self._photos.add(hash(photo_url))
        return self._has_read and len(self._photos) < self._limit
