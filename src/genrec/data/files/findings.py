"""What was noticed while files were read: what was guessed, filled, dropped, and how often."""

from __future__ import annotations


class Findings(dict[str, "int | str"]):
    """Sentences, and how often each was the case, or what it is about; they end on the data card."""

    def count(self, what: str, number: int) -> None:
        """Add to a count; what never happened is not mentioned."""
        if number:
            self[what] = int(self.get(what, 0)) + number
