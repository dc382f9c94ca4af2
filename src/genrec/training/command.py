"""The commands that need a trainer, built on LightningCLI."""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentError
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from genrec.analysis.report import print_table
from genrec.assets import Assets
from genrec.config.failures import constructing, explained, one_line
from genrec.config.signatures import cause, was_imported
from genrec.data import SequenceData
from genrec.data.card import card, print_card
from genrec.errors import GenrecError
from genrec.evaluation import ranks
from genrec.io.files import beside, write_new, write_text
from genrec.io.quiet import quieten
from genrec.io.stopping import CODE
from genrec.recommenders import RankingModule
from genrec.recommenders.base import learns
from genrec.recommenders.sharding import strategy_of
from genrec.runs import layout, restoring, reuse
from genrec.runs.trusted import look_here, plugins
from genrec.seeds import SEED, SEEDED
from genrec.training.arguments import (
    DEFAULT_MONITOR,
    Parser,
    Stopping,
    check_does,
    check_monitors,
    check_numbers,
    compose,
    follow_cut_offs,
    forget_monitors,
)
from genrec.training.callbacks import LastCheckpoint, PredictionWriter, SaveConfig, with_ours
from genrec.training.record import record
from genrec.training.trainer import Trainer, make_loggers
from genrec.training.whole_files import WholeFiles

EVALUATIONS = ("test", "validate", "predict")
TRUST = "--trust"
"""The run that is evaluated may name classes in modules of the user's own; see `genrec.runs.trusted`."""


class GenrecCLI(LightningCLI):
    """LightningCLI with runs in folders of their own, shared assets, and results that are written down."""

    datamodule: SequenceData
    model: RankingModule

    def __init__(self, name: str, run: Path | None, args: list[str], trust: bool) -> None:
        self.name = name
        self.command = args[0] if args else ""
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
        """The command and the arguments of the trainer's method that are not options; all, if it is none of them.

        Every one has a parser of its own, which takes longer to make than to use.
        """
        known = {**LightningCLI.subcommands(), "prepare": {"model", "datamodule"}}
        return {self.command: known[self.command]} if self.command in known else known

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The options that every command has beside model, data and trainer."""
        parser.add_class_arguments(Assets, "assets")
        parser.link_arguments("assets", "model.init_args.assets", apply_on="instantiate")
        parser.add_argument("--runs", type=str, default="runs", help="where the folders of runs are made")
        parser.add_argument("--output", type=str | None, default=None, help="what predict writes: .parquet or .jsonl")
        parser.add_argument("--requeue", type=bool, default=False, help="fit goes on in a run that has not finished")
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
        if of_run:
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

    def instantiate_classes(self) -> None:
        """Make model, data and trainer; what their constructors refuse is told in their own words."""
        try:
            super().instantiate_classes()
        except Exception as error:
            if said := constructing(error):
                raise GenrecError(said) from error
            raise

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """The trainer, with loggers and callbacks that write into the run's folder."""
        config = self.config_init[self.subcommand]
        folder = Path(config.trainer.default_root_dir)
        keeps = config.trainer.enable_checkpointing is not False
        callbacks = [config.early_stopping, config.checkpoint if keeps else None]
        kwargs["callbacks"] = [*_listed(config.trainer.callbacks), *(each for each in callbacks if each)]
        kwargs["logger"] = make_loggers(config.trainer.logger, folder, self.subcommand == "fit")
        plugins = _listed(config.trainer.plugins)
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            kwargs["plugins"] = [*plugins, WholeFiles()]
        kwargs["strategy"] = strategy_of(config.trainer.strategy, config.trainer.precision)
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except Exception as error:
            raise GenrecError(f"the trainer cannot be made with these keys: {one_line(error)}") from error
        trainer.callbacks[:] = with_ours(trainer.callbacks)  # type: ignore[attr-defined]
        if keeps:
            # Behind the other callbacks, whose states it holds.
            last = LastCheckpoint(folder / layout.CHECKPOINTS / layout.LAST, **config.last)
            trainer.callbacks.append(last)  # type: ignore[attr-defined]
        if self.subcommand == "predict":
            output = Path(config.output) if config.output else folder / "predictions.parquet"
            if output.suffix not in (".parquet", ".jsonl"):
                raise GenrecError(f"predict writes .parquet or .jsonl, not `{output.name}` (--output)")
            trainer.callbacks.append(PredictionWriter(output))  # type: ignore[attr-defined]
        return trainer

    def fit(self, **kwargs: Any) -> None:
        """Train, unless there is nothing to learn."""
        if not self.model.learns:
            print(f"{type(self.model).__name__} has nothing to train: go on with `genrec test`")
            return
        # Read before the loggers open files: bad input leaves no trace.
        self.datamodule.setup("fit")
        if kwargs.get("ckpt_path"):
            restoring.check_same(self.datamodule, Path(kwargs["ckpt_path"]))
            restoring.check_state(self.trainer, Path(kwargs["ckpt_path"]))
        try:
            self.trainer.fit(**kwargs)
        except SIGTERMException:
            if self.trainer.is_global_zero:
                print(f"stopped by SIGTERM; the same command with `--requeue true` goes on in {self.run_folder}")
            sys.exit(CODE)

    def validate(self, **kwargs: Any) -> None:
        """Validate; the table of `after_validate` takes the place of Lightning's."""
        self._adopt(kwargs)
        self.trainer.validate(**{**kwargs, "verbose": False})

    def test(self, **kwargs: Any) -> None:
        """Test; the table of `after_test` takes the place of Lightning's."""
        self._adopt(kwargs)
        self.trainer.test(**{**kwargs, "verbose": False})

    def predict(self, **kwargs: Any) -> None:
        """Predict; the callback writes, so nothing is returned."""
        self._adopt(kwargs)
        self.trainer.predict(**{**kwargs, "return_predictions": False})

    def _adopt(self, kwargs: dict[str, Any]) -> None:
        """Use the data as those of the training, and say in which they are others."""
        if kwargs.get("ckpt_path") and self.model.learns:
            changed = restoring.adopt(self.model, self.datamodule, Path(kwargs["ckpt_path"]))
            self.overrides = [*self.overrides, *(f"other data: {what}" for what in changed)]
            if self.trainer.is_global_zero:
                reuse.tell_data(changed)

    def before_prepare(self) -> None:
        """Print the data card, and keep it beside the assets: whatever the model will need, the data are there."""
        contents = card(self.datamodule.dataset)
        path = Path(self.config[self.subcommand].assets.root) / "cards" / f"{contents['name']}.json"
        write_text(path, json.dumps(contents, indent=2) + "\n")
        print_card(contents)
        self.datamodule.told = True
        print(f"wrote {path}")

    def after_fit(self) -> None:
        """Say where everything is."""
        if self.trainer.is_global_zero and self.model.learns and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            print(f"run folder: {self.run_folder}")
            if not self.trainer.checkpoint_callbacks:
                print("no checkpoint is kept (`trainer.enable_checkpointing: false`): `genrec test` will not find it")

    def after_validate(self) -> None:
        """Write ``validation.json`` and print the table."""
        self._write_results("validation", layout.VALIDATION)

    def after_test(self) -> None:
        """Write ``metrics.json`` and ``ranks.parquet``, and print the table."""
        self._write_results("test", layout.METRICS)

    def _write_results(self, split: Literal["validation", "test"], file: str) -> None:
        """Write what was measured in the run's place for it, or beside, where it was measured otherwise."""
        if self.trainer.is_global_zero:
            assert self.run_folder is not None
            config = self.config[self.subcommand]
            results = record(self.trainer, self.model, self.run_folder, split, config, self.overrides)
            files = [self.run_folder / file, *([self.run_folder / layout.RANKS] if split == "test" else [])]
            path, *table = files if self.own else beside(files)
            text = json.dumps(results, indent=2) + "\n"
            for each in table:
                ranks.write(each, self.model.ranks)
            write_new(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))
            print_table([results])
            why = "" if self.own else f", beside the results with the run's own settings ({file})"
            print(f"wrote {path}{why}")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def run(arguments: list[str]) -> None:
    """Parse and run a command.

    Raises:
        GenrecError: for every kind of bad input.
    """
    plugins()
    trust = TRUST in arguments
    if trust and arguments[0] not in EVALUATIONS:
        raise GenrecError(f"{TRUST} is for {', '.join(EVALUATIONS)}: what is trained is trusted anyway")
    own: list[Any] = [word for argument in arguments for word in re.split(r"[^\w.]+", argument)]

    def accept(config: dict[str, Any], path: Path, of_run: bool) -> dict[str, Any]:
        if of_run and not trust and arguments[0] in EVALUATIONS:
            return reuse.untrusted(config, path)
        own.append(config)
        return config

    args, name, run_folder = compose([argument for argument in arguments if argument != TRUST], accept)
    look_here(own)
    quieten()
    try:
        GenrecCLI(name, run_folder, args, trust)
    except GenrecError:
        raise
    except Exception as error:
        if said := explained(error):
            raise GenrecError(said) from error
        raise
