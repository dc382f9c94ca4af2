"""What was noticed while files were read: what was guessed, filled, dropped, and how often."""

from __future__ import annotations

FINDINGS = "findings"
"""The note of a data set that says it."""


class Findings(dict[str, "int | str"]):
    """Sentences, and how often each was the case, or what it is about; they end on the data card."""

    def count(self, what: str, number: int) -> None:
        """Add to a count; what never happened is not mentioned."""
        if number:
            self[what] = int(self.get(what, 0)) + number

    def notes(self) -> dict[str, dict[str, int | str]]:
        """A note of a data set; none if there is nothing to say."""
        return {FINDINGS: dict(self)} if self else {}
