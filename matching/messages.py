"""What a reason can say, by what its addend does. Pure; `phrases` has the words."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Message(StrEnum):
    """What a reason says: first of a likeness, then of a ranking stage."""

    LIKE_LIKED = "like_liked"
    UNLIKE_DISLIKED = "unlike_disliked"
    LIKE_DISLIKED = "like_disliked"
    UNLIKE_LIKED = "unlike_liked"
    WOULD_LIKE_BACK = "would_like_back"
    MAY_NOT_LIKE_BACK = "may_not_like_back"
    ACTIVE = "active"
    POPULAR = "popular"
    NEW = "new"
    ALREADY_SHOWN = "already_shown"
    DRAWN_UP = "drawn_up"
    DRAWN_DOWN = "drawn_down"


MESSAGES: Mapping[tuple[bool, bool], Message] = {
    # (it raises the score, through the liked)
    (True, True): Message.LIKE_LIKED,
    (True, False): Message.UNLIKE_DISLIKED,
    (False, True): Message.UNLIKE_LIKED,
    (False, False): Message.LIKE_DISLIKED,
}

STAGE_MESSAGES: Mapping[tuple[str, bool], Message] = {
    # (stage, it raises the score): what a stage never does has no words
    ("reciprocity", True): Message.WOULD_LIKE_BACK,
    ("reciprocity", False): Message.MAY_NOT_LIKE_BACK,
    ("recency", True): Message.ACTIVE,
    ("exposure", False): Message.POPULAR,
    ("newcomers", True): Message.NEW,
    ("diversity", False): Message.ALREADY_SHOWN,
    ("exploration", True): Message.DRAWN_UP,
    ("exploration", False): Message.DRAWN_DOWN,
}
