"""What a person likes, learned from a few liked and disliked photos. Pure.

`methods` names all the ways to learn it; the default is `bayesian`, with what the liked
photos have in common by `relevance`, and `learning` makes the prior that it starts from
out of what many other people like.
"""

from __future__ import annotations

from matching.preference.base import LinearPreference, Preference, sigmoid
from matching.preference.baselines import (
    BestScorePreference,
    BlendPreference,
    GaussianPreference,
    PlainPreference,
)
from matching.preference.bayesian import DISLIKE_SHARE, BayesianPreference
from matching.preference.methods import DEFAULT, METHODS, fit
from matching.preference.prior import (
    ATTRIBUTE_VARIANCE,
    VISUAL_VARIANCE,
    Prior,
    cold_prior,
)
from matching.preference.sliders import importance

__all__ = [
    "ATTRIBUTE_VARIANCE",
    "DEFAULT",
    "DISLIKE_SHARE",
    "METHODS",
    "VISUAL_VARIANCE",
    "BayesianPreference",
    "BestScorePreference",
    "BlendPreference",
    "GaussianPreference",
    "LinearPreference",
    "PlainPreference",
    "Preference",
    "Prior",
    "cold_prior",
    "fit",
    "importance",
    "sigmoid",
]
