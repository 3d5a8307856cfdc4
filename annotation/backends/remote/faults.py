"""Everything that can go wrong with one try, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final


@dataclass(frozen=True)
class Trouble:
    """What a reason of failure means.

    `again`: this provider may be asked once more; `down`: the provider fails, whatever
    the photo; `lasting`: it is about the photo, and would be the same tomorrow;
    `billed`: the provider may have counted tokens without telling; `innocent`: it cost
    nothing, and no photo brings it about, so that none has to answer for it.
    """

    again: bool = False
    down: bool = False
    lasting: bool = False
    billed: bool = False
    innocent: bool = False


TROUBLES: Final[Mapping[str, Trouble]] = {
    "no-connection": Trouble(again=True, down=True, innocent=True),
    "cut-off": Trouble(again=True, down=True, billed=True),
    "timed-out": Trouble(again=True, down=True, billed=True),
    "busy": Trouble(again=True, innocent=True),  # it is well, and wants less
    "server-error": Trouble(again=True, down=True),
    "not-json": Trouble(again=True, down=True, billed=True),
    "too-long": Trouble(down=True, billed=True),
    "unauthorised": Trouble(down=True, innocent=True),
    "no-credit": Trouble(down=True, innocent=True),
    "not-found": Trouble(down=True, innocent=True),
    "redirected": Trouble(down=True, innocent=True),
    "failed": Trouble(again=True, billed=True),  # a prediction of Replicate's
    # One that did not end in time, or that it tells us nothing of any more.
    "not-fetched": Trouble(down=True, billed=True),
    # Asked again without it, and not counted as a try.
    "parameter-refused": Trouble(innocent=True),
    "no-probabilities": Trouble(again=True, billed=True),  # though it usually has them
    "out-of-time": Trouble(billed=True),  # no more for this photo; not one try's
    "annotator-broke": Trouble(billed=True),  # a mistake of ours
    "rejects-all": Trouble(down=True, innocent=True),
    "rejected": Trouble(lasting=True),
    "flagged": Trouble(lasting=True),
    "refused": Trouble(again=True, lasting=True, billed=True),
    "truncated": Trouble(again=True, lasting=True, billed=True),
    "off-schema": Trouble(again=True, lasting=True, billed=True),
}
REASONS: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "unauthorised",
    HTTPStatus.FORBIDDEN: "unauthorised",
    HTTPStatus.PAYMENT_REQUIRED: "no-credit",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.REQUEST_TIMEOUT: "timed-out",
    HTTPStatus.TOO_MANY_REQUESTS: "busy",
}


class Fault(Exception):  # noqa: N818 - of one try; whether the photo failed is open
    """One try failed for a reason of TROUBLES; `wait` is for how long to stay away.

    It never holds an address, a header, a text of the server's, or another exception.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait

    @property
    def trouble(self) -> Trouble:
        """What the reason means."""
        return TROUBLES[self.reason]


def reason_of(status: int) -> str:
    """What an HTTP status that is no success says."""
    if status in REASONS:
        return REASONS[status]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "server-error"
    return "rejected" if status >= HTTPStatus.BAD_REQUEST else "redirected"
