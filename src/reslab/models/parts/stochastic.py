"""Layers that draw random numbers in training."""

from torch import Tensor, nn

from reslab.rng import BITS, NetworkDraws


class Dropout(nn.Module):
    """Dropout of single activations in training, kept ones scaled by 1/(1-p) (Srivastava et al., JMLR 15, 2014)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.draws = NetworkDraws()

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = self.draws.bits(x.numel(), images=len(x)).view(x.shape) >= int(self.p * 2**BITS)
        return x * kept / (1 - self.p)


def dropout(p: float) -> nn.Module:
    """Dropout, or nothing at p = 0: then nothing is drawn and nothing stored."""
    return Dropout(p) if p > 0 else nn.Identity()
