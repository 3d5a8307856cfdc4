"""The head as torch trains it, and as numpy applies it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from matching.features import VISUAL_WIDTH
from matching.projection import LAYER_NORM_EPSILON, HeadWeights, untrained

DROPOUT = 0.1


class HeadNetwork(nn.Module):
    """Linear -> LayerNorm -> GELU -> Dropout -> Linear -> unit length.

    It standardises each feature by `mean` and `scale` (width,), which `weights` folds
    into the first layer: whatever an encoder's units are, training is the same.

    It starts as the untrained projection q, exactly: of the hidden (q, -q) LayerNorm
    changes only the length, and gelu(q) - gelu(-q) is q. So nothing has to be learned
    again that the features know already.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, mean: npt.NDArray[np.float32], scale: npt.NDArray[np.float32]
    ) -> None:
        super().__init__()
        width, hidden = len(mean), 2 * VISUAL_WIDTH
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("scale", torch.from_numpy(scale))
        self.inward = nn.Linear(width, hidden)
        self.norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPSILON)
        self.outward = nn.Linear(hidden, VISUAL_WIDTH)
        self.dropout = nn.Dropout(DROPOUT)
        self._start_untrained(width)

    @torch.no_grad()
    def _start_untrained(self, width: int) -> None:
        project = untrained(width=width).transform(np.eye(width))  # (width, 512)
        towards = torch.from_numpy(project.T.astype(np.float32))
        identity = torch.eye(VISUAL_WIDTH)
        self.inward.weight.copy_(torch.cat([towards, -towards]))
        self.outward.weight.copy_(torch.cat([identity, -identity], dim=1))
        self.inward.bias.zero_()
        self.outward.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Unit embeddings (n, 512) of raw features (n, width)."""
        standard = (features - self.mean) / self.scale
        hidden = functional.gelu(self.norm(self.inward(standard)), approximate="tanh")
        return functional.normalize(self.outward(self.dropout(hidden)))

    def weights(self) -> HeadWeights:
        """What numpy applies: equal to 1e-5."""
        inward = self.inward.weight / self.scale
        bias = self.inward.bias - inward @ self.mean
        return HeadWeights(
            inward=_array(inward.T),
            inward_bias=_array(bias),
            gain=_array(self.norm.weight),
            shift=_array(self.norm.bias),
            outward=_array(self.outward.weight.T),
            outward_bias=_array(self.outward.bias),
        )


def _array(tensor: Tensor) -> npt.NDArray[np.float32]:
    # A copy: training goes on, in the same memory.
    return np.array(tensor.detach().numpy(), dtype=np.float32, order="C")
