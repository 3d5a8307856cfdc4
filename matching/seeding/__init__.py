"""People who do not exist, for load tests: around real readings, marked synthetic."""
