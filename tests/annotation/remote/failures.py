"""What servers do wrong, and what is to come of it."""

from __future__ import annotations

from annotation.backends.remote.transport import MOST_BYTES
from annotation.compact import LINES
from tests.annotation.remote.modelserver import (
    SILENCE,
    Answer,
    Behaviour,
    cut,
    refusal,
    saying,
    sheet,
    written,
)

GOOD = written(LINES, sheet())
LETTER_TOO_MANY = GOOD + "\nhair color: A"
WRONG_LETTER = GOOD.replace("hair color: A", "hair color: Q")
PROSE = "I'm sorry, but I can't describe people in photos."
HTML = Answer(b"<html>Sign in</html>", headers={"Content-Type": "text/html"})
UNFINISHED = '{"hair color": "A", "hair le'

FAILURES: list[tuple[str, Behaviour | Answer, str, bool]] = [
    # name, what the server does, the reason, whether the photo is given up for good
    ("429", refusal(429), "busy", False),
    ("500", refusal(500), "server-error", False),
    ("503", refusal(503, "loading the model"), "server-error", False),
    ("error in a 200", Answer(b'{"error": {"code": 502}}'), "server-error", False),
    ("silence", SILENCE, "timed-out", False),
    ("cut", cut(), "cut-off", False),
    ("cut at once", cut(0), "cut-off", False),
    ("truncated body", Answer(b'{"choices": [{"mess'), "not-json", False),
    ("another type", HTML, "not-json", False),
    ("not unicode", Answer(b'{"choices": "\xff\xfe"}'), "not-json", False),
    ("deep", Answer(b"[" * 200_000), "not-json", False),
    (
        "compressed",
        Answer(b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"}),
        "not-json",
        False,
    ),
    ("huge", Answer(b" " * (MOST_BYTES + 1)), "too-long", False),
    ("403", refusal(403), "unauthorised", False),
    ("413", refusal(413), "rejected", True),
    ("a bad image", refusal(400, "cannot identify the picture"), "rejected", True),
    ("off schema", saying(WRONG_LETTER), "off-schema", True),
    ("too long", saying(LETTER_TOO_MANY), "off-schema", True),
    ("too short", saying("hair color: A"), "off-schema", True),
    ("no text", saying(choice={"message": {"content": None}}), "off-schema", True),
    ("a list", saying(choice={"message": {"content": [GOOD]}}), "off-schema", True),
    ("no message", saying(choice={"message": "A"}), "off-schema", True),
    ("no choice", Answer(b'{"choices": []}'), "server-error", False),
    ("a number", Answer(b"7"), "server-error", False),
    ("prose", saying(PROSE), "refused", True),
    (
        "a refusal",
        saying(choice={"message": {"content": None, "refusal": "No."}}),
        "refused",
        True,
    ),
    ("filtered", saying(choice={"finish_reason": "content_filter"}), "refused", True),
    ("out of tokens", saying(choice={"finish_reason": "length"}), "truncated", True),
    ("half of the JSON", saying(UNFINISHED), "truncated", True),
]
