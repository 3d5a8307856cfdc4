"""What every ranking stage may add, as matching.ranking.stages.Weights takes it."""

from __future__ import annotations

from twinby.env import env_float

# Log-odds, or times log-odds; 0 leaves a stage out.
WEIGHTS = {
    "reciprocity": env_float("TWINBY_RECIPROCITY", 1.0, least=0.0),
    "recency": env_float("TWINBY_RECENCY", 1.0, least=0.0),
    "recency_half_life_days": env_float(
        "TWINBY_RECENCY_HALF_LIFE_DAYS", 7.0, least=0.01
    ),
    "exposure": env_float("TWINBY_EXPOSURE", 1.75, least=0.0),
    "exposure_cap": env_float("TWINBY_EXPOSURE_CAP", 0.4, least=0.01),
    "exploration": env_float("TWINBY_EXPLORATION", 0.0, least=0.0),
    "diversity": env_float("TWINBY_DIVERSITY", 0.3, least=0.0),
    "newcomers": env_float("TWINBY_NEWCOMERS", 2.0, least=0.0),
    "newcomer_days": env_float("TWINBY_NEWCOMER_DAYS", 14.0, least=0.01),
    "newcomer_impressions": env_float("TWINBY_NEWCOMER_IMPRESSIONS", 100.0, least=1.0),
}
