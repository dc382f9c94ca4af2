"""What a command's line says: its options, and which run it is about."""

from __future__ import annotations

from argparse import ArgumentError
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only

from genrec.assets import Assets
from genrec.config.signatures import cause, was_imported
from genrec.data import SequenceData
from genrec.decoding.vector_index import Kind
from genrec.errors import GenrecError
from genrec.evaluation.protocol import Measure
from genrec.recommenders import RankingModule
from genrec.recommenders.base import learns
from genrec.runs import layout, reuse
from genrec.seeds import SEED, SEEDED
from genrec.training.arguments import (
    DEFAULT_MONITOR,
    Parser,
    check_does,
    check_monitors,
    check_numbers,
    follow_cut_offs,
    forget_monitors,
)
from genrec.training.callbacks import LastCheckpoint, SaveConfig, Stopping
from genrec.training.trainer import Trainer

EVALUATIONS = ("test", "validate", "predict")
TRUST = "--trust"
"""The run that is evaluated may name classes in modules of the user's own; see `genrec.runs.trusted`."""


class Interface(LightningCLI):
    """LightningCLI with runs in folders of their own, and shared assets."""

    datamodule: SequenceData
    model: RankingModule

    def __init__(self, name: str, run: Path | None, args: list[str], trust: bool) -> None:
        self.name = name
        self.command = args[0]
        self.trust = trust
        self.run_folder = run
        self.made: list[Path] = []
        self.overrides: list[str] = []
        self.own = True
        self.held = ExitStack()
        try:
            super().__init__(
                RankingModule,
                SequenceData,
                trainer_class=Trainer,
                parser_class=Parser,
                save_config_callback=SaveConfig,
                save_config_kwargs={"save_to_log_dir": False},
                seed_everything_default=SEED,
                auto_configure_optimizers=False,
                subclass_mode_model=True,
                # No abbreviations: half a key is a mistake, and what it means could change with the next option.
                parser_kwargs={"exit_on_error": False, "allow_abbrev": False},
                args=args,
            )
        finally:
            self.held.close()
            if self.run_folder:
                layout.remove_if_empty([self.run_folder, *self.made])

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override] # of this command line
        """The command and the arguments of the trainer's method that are not options.

        Every command would have a parser of its own, which takes longer to make than to use.
        """
        known = {**LightningCLI.subcommands(), "prepare": {"model", "datamodule"}}
        return {self.command: known[self.command]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The options that every command has beside model, data and trainer."""
        parser.add_class_arguments(Assets, "assets")
        parser.link_arguments("assets", "model.init_args.assets", apply_on="instantiate")
        parser.add_class_arguments(Measure, "measure")
        parser.add_argument("--runs", type=str, default="runs", help="where the folders of runs are made")
        parser.add_argument(
            "--output", type=str | None, default=None, help="predict: .parquet, .jsonl; export: a folder"
        )
        parser.add_argument("--requeue", type=bool, default=False, help="fit goes on in a run that has not finished")
        parser.add_argument("--verify", type=bool, default=False, help="prepare reads all that was built before")
        if self.command in ("test", "predict"):
            parser.add_argument("--index", type=Kind | None, default=None, help="search an index of the items")
        products = Literal["highest", "high", "medium"]
        parser.add_argument("--float32_matmul", type=products, default="highest", help="high: TF32 on a GPU")
        parser.add_class_arguments(ModelCheckpoint, "checkpoint", fail_untyped=False)
        parser.add_class_arguments(LastCheckpoint, "last", skip={"path"}, instantiate=False)
        stops = {"monitor": DEFAULT_MONITOR, "mode": "max", "patience": 10}
        parser.add_argument("--early_stopping", type=Stopping | None, default=stops)
        parser.set_defaults(
            {
                # Two or eight devices make a batch as many times as large, which is another training.
                "trainer.devices": 1,
                "trainer.num_sanity_val_steps": 0,
                "trainer.log_every_n_steps": 20,
                "checkpoint.monitor": DEFAULT_MONITOR,
                "checkpoint.mode": "max",
                "checkpoint.filename": Path(layout.BEST).stem,
                "checkpoint.enable_version_counter": False,
            }
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse; the settings of a run that was trained already stand in for what is not typed (`runs.reuse`)."""
        self._parse(parser, args)
        check_numbers(self.config[self.config.subcommand])
        of_run = self.run_folder is not None
        self.run_folder = self._run_in_use()
        # Who trains on has looked at what he trains; whose the checkpoint of an evaluation is, nobody knows.
        trust = self.trust or self.config.subcommand not in EVALUATIONS
        kept = reuse.settings(self.run_folder, trust) if self.run_folder else None
        if kept is None:
            return
        asked = config = self._whole_config()
        if self.run_folder and not of_run and self.config[self.config.subcommand].get("ckpt_path") in (None, "last"):
            reuse.check_method(self.run_folder, kept, asked)
        if of_run or reuse.agree(kept, asked):
            for name in SEEDED:
                part = self.config[self.config.subcommand][name]
                part.seed = kept[name]["seed"] if part.seed is None else part.seed
        else:
            self._parse(parser, reuse.stand_in(args, kept))
        config = self._whole_config()
        self.overrides = reuse.overrides(kept, config)
        if self.run_folder and self.command in EVALUATIONS:
            self.overrides += reuse.of_part(self.run_folder, self.command, config)
            self.own = not self.overrides
        if self.run_folder and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            reuse.tell(self.run_folder, reuse.overrides(asked, config), self.overrides)

    def _parse(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, which imports the modules of the classes that are named."""
        try:
            super().parse_arguments(parser, args)
        except Exception as error:
            if not isinstance(error, ArgumentError) and was_imported(error):
                raise GenrecError(f"a class that is named cannot be imported: {cause(error)}") from error
            raise
        for each in (parser, self._parser(self.command)):
            assert isinstance(each, Parser)
            each.checked = True

    def _parse_ckpt_path(self) -> None:
        """A checkpoint is parameters: Lightning would build the class that its `hyper_parameters` name."""

    def _whole_config(self) -> dict[str, Any]:
        command = self.config.subcommand
        return dict(yaml.safe_load(self._parser(command).dump(self.config[command], skip_none=False)))

    def _run_in_use(self) -> Path | None:
        """The run whose checkpoint is used; None if a new run is made."""
        command = self.config.subcommand
        config = self.config[command]
        path, folder = config.get("ckpt_path"), Path(config.runs) / self.name
        if path and path != "last":
            reuse.check(Path(path))
        if command == "fit":
            if config.requeue or reuse.restarted():
                return reuse.unfinished(folder, self._whole_config())
            return (self.run_folder or reuse.newest(folder, layout.LAST)) if path == "last" else None
        if path:
            return layout.run_of(Path(path)) or self.run_folder
        if command in EVALUATIONS and learns(config.model.class_path):
            return self.run_folder or reuse.newest(folder, layout.BEST)
        return self.run_folder

    def before_instantiate_classes(self) -> None:
        """Name the checkpoint that is used, or make the folder of a new run; everything is written into its folder."""
        config = self.config[self.subcommand]
        follow_cut_offs(config)
        torch.set_float32_matmul_precision(config.float32_matmul)
        check_does(self.command, config)
        if self.subcommand == "fit":
            forget_monitors(config)
            check_monitors(config)
        root = Path(config.runs)
        if self.subcommand == "fit" and self.run_folder:
            config.ckpt_path = reuse.checkpoint_to_resume(self.run_folder)
            print(f"resuming {self.run_folder}")
        elif self.subcommand in EVALUATIONS and not config.get("ckpt_path") and learns(config.model.class_path):
            assert self.run_folder is not None
            config.ckpt_path = str(self.run_folder / layout.CHECKPOINTS / layout.BEST)
            print(f"using {config.ckpt_path}, the best checkpoint of the newest run of {self.name}")
        if config.get("ckpt_path"):
            reuse.check(Path(config.ckpt_path))
        if self.subcommand != "prepare" and self.run_folder is None:
            # Only the first of several processes writes into it.
            first = rank_zero_only.rank == 0  # type: ignore[attr-defined]
            self.made = layout.missing(root / self.name)
            self.run_folder = layout.new_run(root, self.name) if first else root / self.name
        folder = self.run_folder or root / self.name
        if self.subcommand == "fit" and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            self.held.enter_context(layout.locked(folder))
            layout.clear(folder)
        config.trainer.default_root_dir = str(folder)
        config.checkpoint.dirpath = str(folder / layout.CHECKPOINTS)
