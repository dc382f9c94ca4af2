"""Items as codes: recipes, the quantisers that they train, and how well those came out."""

from genrec.assets.codes.fitting import Training
from genrec.assets.codes.given import FileCodes
from genrec.assets.codes.product import PQCodes
from genrec.assets.codes.recipes import LETTERCodes, RQVAECodes, encode
from genrec.assets.codes.residual import RQKMeansCodes

__all__ = ["FileCodes", "LETTERCodes", "PQCodes", "RQKMeansCodes", "RQVAECodes", "Training", "encode"]
