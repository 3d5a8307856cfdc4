"""How the embedded annotator is trained: torch, offline only.

`pipeline` is the whole, from the data folder to the weights. `recipe` says how, `views`
and `batches` with `augment` what is learned from, `lite` and `network` what learns.
`fit` takes a branch through its stages, `learning` through one epoch with `losses` and
`metric`; `judging` and `ranking` say how good it is by then, `run` keeps what was
learned. `whitening`, `export` and `calibrating` make of it what is shipped.
"""
