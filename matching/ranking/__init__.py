"""From candidates to people in order: a score, and stages that add to it. Pure."""
