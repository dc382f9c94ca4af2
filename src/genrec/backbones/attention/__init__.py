"""Who sees whom, and the kernels that are told: fused causal, dense mask, FlexAttention."""

from genrec.backbones.attention.flex import Attention, uses_flex
from genrec.backbones.attention.sight import Branches, Sight, pattern

__all__ = ["Attention", "Branches", "Sight", "pattern", "uses_flex"]
