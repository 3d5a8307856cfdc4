"""What an annotator's readings are worth, by photos that people have labelled. Pure.

`sources` are the data sets, `labels` and `questions` what their labels mean, `cases`
the photos kept from training, `attributes` the figures. No torch, no framework.
"""
