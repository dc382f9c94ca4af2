"""Items as codes: recipes, the quantisers that they train, and how well those came out."""

from genrec.assets.codes.averages import RVQCodes
from genrec.assets.codes.fitting import Training
from genrec.assets.codes.given import FileCodes
from genrec.assets.codes.product import PQCodes
from genrec.assets.codes.recipes import LETTERCodes, RQVAECodes, encode
from genrec.assets.codes.residual import RQKMeansCodes
from genrec.assets.codes.scalar import FSQCodes

__all__ = [
    "FSQCodes",
    "FileCodes",
    "LETTERCodes",
    "PQCodes",
    "RQKMeansCodes",
    "RQVAECodes",
    "RVQCodes",
    "Training",
    "encode",
]
