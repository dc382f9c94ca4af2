"""The model's parts and how large they are."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.callbacks import RichModelSummary
from lightning.pytorch.utilities.model_summary import get_human_readable_count
from rich import get_console
from rich.table import Table


class ModelSummary(RichModelSummary):
    """The model's parts and their parameters: Lightning's table without the FLOPs, which are not counted."""

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        total_training_modes: dict[str, int],
        total_flops: int,
        **summarize_kwargs: Any,
    ) -> None:
        """See `RichModelSummary.summarize`; the size is in MB."""
        columns = {name.strip(): rows for name, rows in summary_data if name not in ("Mode", "FLOPs")}
        table = Table(*columns)
        for row in zip(*columns.values(), strict=True):
            table.add_row(*row)
        get_console().print(table)
        total, trained = (get_human_readable_count(count).strip() for count in (total_parameters, trainable_parameters))
        print(f"parameters: {total} ({model_size:,.1f} MB), {trained} of them trained", flush=True)
