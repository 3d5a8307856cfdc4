"""Finding the nearest people who pass hard filters: a port, an oracle, an engine."""
