"""What tests of this library and of its extensions share."""

from genrec.testing.syncs import Syncs

__all__ = ["Syncs"]
