"""Training a head on cached features: torch lives here, offline, and nowhere else."""
