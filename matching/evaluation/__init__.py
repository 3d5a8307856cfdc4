"""What an annotator is worth to those who search: attributes, identity, taste. Pure.

`measuring` makes all figures, `card` with `tables` the measured part of
docs/model-card.md from them. No torch, no framework, no database.
"""
