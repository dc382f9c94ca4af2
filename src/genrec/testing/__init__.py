"""What tests of this library and of its extensions share; `genrec.testing.contract` is what an identifier owes."""

from genrec.testing.syncs import Syncs
from genrec.testing.tiny import HISTORY, TARGET, TinyModel, tiny_assets, tiny_backbone, tiny_dataset
from genrec.testing.trainer import quiet_trainer

__all__ = ["HISTORY", "TARGET", "Syncs", "TinyModel", "quiet_trainer", "tiny_assets", "tiny_backbone", "tiny_dataset"]
