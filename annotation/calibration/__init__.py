"""Probabilities that mean what they say. Pure: numpy only.

`scaling` is the mathematics, `calibrator` applies it to readings, `fitting` fits and
measures it on what `labels` say, and `content_free` does without labels.
"""
