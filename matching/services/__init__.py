"""What can be done with the index and with what people say of each other."""

from __future__ import annotations

from matching.services.indexing import (
    UNTRAINED_NAME,
    FewerPeopleError,
    activate_annotator,
    activate_head,
    build_indexes,
    fit_feature_space,
    index_people,
    reindex,
    sweep,
)

__all__ = [
    "UNTRAINED_NAME",
    "FewerPeopleError",
    "activate_annotator",
    "activate_head",
    "build_indexes",
    "fit_feature_space",
    "index_people",
    "reindex",
    "sweep",
]
