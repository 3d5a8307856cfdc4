"""What `matching` keeps: the index of people, and what they say of each other."""

from __future__ import annotations

from matching.models.feedback import Exposure, Feedback, Impression, Match, Taste
from matching.models.index import HEAD_FOLDER, Evaluation, Head, PersonVector, Space
from matching.models.learned import LearnedPrior, MatchCalibration

__all__ = [
    "HEAD_FOLDER",
    "Evaluation",
    "Exposure",
    "Feedback",
    "Head",
    "Impression",
    "LearnedPrior",
    "Match",
    "MatchCalibration",
    "PersonVector",
    "Space",
    "Taste",
]
