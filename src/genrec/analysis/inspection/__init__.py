"""What identifiers look like: how their tokens are used, how vectors are spread, which items they hold to be alike."""

from genrec.analysis.inspection.overview import Inspection

__all__ = ["Inspection"]
