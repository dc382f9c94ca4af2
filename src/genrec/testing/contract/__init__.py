"""The contract of an identifier, as a class of tests for pytest: what every one owes the rest of the library."""

import pytest

pytest.register_assert_rewrite(
    "genrec.testing.contract.setting", "genrec.testing.contract.learning", "genrec.testing.contract.ranking"
)

from genrec.testing.contract.learning import LearningContract  # noqa: E402
from genrec.testing.contract.ranking import RankingContract  # noqa: E402

__all__ = ["IdentifierContract"]


class IdentifierContract(LearningContract, RankingContract):
    """Every test that an identifier has to pass, on a tiny T5 and on a tiny causal model, in a few seconds.

    A test file of your own is three lines, and runs with ``pytest``::

        class TestMine(IdentifierContract):
            def make(self) -> ItemIdentifier:
                return Mine(levels=2)

    `make` is called anew for every test. The items are those of `genrec.testing.tiny_dataset`, with text embeddings of
    eight numbers and collaborative ones of six: sizes that suit twelve items, and quantisers that train for a few
    steps, keep it quick. What is random must come from PyTorch (``torch.rand``, ``randn``, ``randint`` and their
    like). The fixtures ``dataset``, ``assets`` and ``kind`` can be overridden as pytest's fixtures are.
    """
