"""Items as codes: recipes, the quantisers that they train, and how well those came out."""

from genrec.assets.codes.fitting import Training
from genrec.assets.codes.recipes import LETTERCodes, RQVAECodes, encode

__all__ = ["LETTERCodes", "RQVAECodes", "Training", "encode"]
