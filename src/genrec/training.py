"""The commands that need a trainer, built on LightningCLI."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

import genrec.assets.sasrec
import genrec.recommender
import genrec.references  # noqa: F401 - imported, the modules' short class names are known to the command line
from genrec import ranks, runs, trained
from genrec.arguments import DEFAULT_MONITOR, Parser, all_subclasses, check_monitors, compose, explain, follow_cut_offs
from genrec.assets import Assets
from genrec.callbacks import PredictionWriter, SaveConfig, with_ours
from genrec.configuration import load_config
from genrec.data import Ragged, SequenceData
from genrec.data.card import card, print_card
from genrec.errors import GenrecError
from genrec.evaluation import RankingModule
from genrec.quiet import quieten
from genrec.report import environment, print_table
from genrec.sharding import strategy_of

EVALUATIONS = ("test", "validate", "predict")


class Trainer(L.Trainer):
    """Lightning's trainer, with one more entry point."""

    def prepare(self, model: L.LightningModule, datamodule: L.LightningDataModule) -> None:
        """Load the data and build every asset that the model asks for, without training."""
        model.trainer = self
        self.datamodule = datamodule
        datamodule.prepare_data()
        datamodule.setup("fit")
        model.setup("fit")


class GenrecCLI(LightningCLI):
    """LightningCLI with runs in folders of their own, shared assets, and results that are written down."""

    datamodule: SequenceData
    model: RankingModule

    def __init__(self, name: str, run: Path | None, args: list[str]) -> None:
        self.name = name
        self.run_folder = run
        self.overrides: list[str] = []
        try:
            super().__init__(
                RankingModule,
                SequenceData,
                trainer_class=Trainer,
                parser_class=Parser,
                save_config_callback=SaveConfig,
                save_config_kwargs={"save_to_log_dir": False},
                seed_everything_default=42,
                auto_configure_optimizers=False,
                subclass_mode_model=True,
                # No abbreviations: half a key is a mistake, and what it means could change with the next option.
                parser_kwargs={"exit_on_error": False, "allow_abbrev": False},
                args=args,
            )
        finally:
            if self.run_folder:
                runs.remove_if_empty(self.run_folder)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The commands and the arguments of the trainer's method that are not options."""
        return {**LightningCLI.subcommands(), "prepare": {"model", "datamodule"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The options that every command has beside model, data and trainer."""
        parser.add_class_arguments(Assets, "assets")
        parser.link_arguments("assets", "model.init_args.assets", apply_on="instantiate")
        parser.add_argument("--runs", type=str, default="runs", help="where the folders of runs are made")
        parser.add_argument("--output", type=str | None, default=None, help="what predict writes: .parquet or .jsonl")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.add_lightning_class_args(EarlyStopping, "early_stopping")
        parser.set_defaults(
            {
                # Two or eight devices make a batch as many times as large, which is another training.
                "trainer.devices": 1,
                "trainer.num_sanity_val_steps": 0,
                "trainer.log_every_n_steps": 20,
                "checkpoint.monitor": DEFAULT_MONITOR,
                "checkpoint.mode": "max",
                "checkpoint.filename": Path(runs.BEST).stem,
                "checkpoint.enable_version_counter": False,
                "early_stopping.monitor": DEFAULT_MONITOR,
                "early_stopping.mode": "max",
                "early_stopping.patience": 10,
            }
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse; the settings of a run that was trained already stand in for what is not typed (`genrec.trained`)."""
        super().parse_arguments(parser, args)
        of_run = self.run_folder is not None
        self.run_folder = self._run_in_use()
        kept = trained.settings(self.run_folder) if self.run_folder else None
        if kept is None:
            return
        asked = config = self._whole_config()
        if not of_run:
            super().parse_arguments(parser, trained.stand_in(args, kept))
            config = self._whole_config()
        self.overrides = trained.overrides(kept, config)
        if self.run_folder and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            trained.tell(self.run_folder, trained.overrides(asked, config), self.overrides)

    def _whole_config(self) -> dict[str, Any]:
        command = self.config.subcommand
        return dict(yaml.safe_load(self._parser(command).dump(self.config[command], skip_none=False)))

    def _run_in_use(self) -> Path | None:
        """The run whose checkpoint is used; None if a new run is made."""
        command = self.config.subcommand
        config = self.config[command]
        path, folder = config.get("ckpt_path"), Path(config.runs) / self.name
        if path and path != "last":
            trained.check(Path(path))
        if command == "fit":
            return (self.run_folder or trained.newest(folder, runs.LAST)) if path == "last" else None
        if path:
            return runs.run_of(Path(path)) or self.run_folder
        if command in EVALUATIONS and _learns(config.model.class_path):
            return self.run_folder or trained.newest(folder, runs.BEST)
        return self.run_folder

    def before_instantiate_classes(self) -> None:
        """Name the checkpoint that is used, or make the folder of a new run; everything is written into its folder."""
        config = self.config[self.subcommand]
        follow_cut_offs(config)
        if self.subcommand == "fit":
            check_monitors(config)
        root = Path(config.runs)
        if self.subcommand == "fit" and self.run_folder:
            config.ckpt_path = str(self.run_folder / runs.CHECKPOINTS / runs.LAST)
            print(f"resuming {self.run_folder}")
        elif self.subcommand in EVALUATIONS and not config.get("ckpt_path") and _learns(config.model.class_path):
            assert self.run_folder is not None
            config.ckpt_path = str(self.run_folder / runs.CHECKPOINTS / runs.BEST)
            print(f"using {config.ckpt_path}, the best checkpoint of the newest run of {self.name}")
        if self.subcommand != "prepare" and self.run_folder is None:
            # Only the first of several processes writes into it.
            first = rank_zero_only.rank == 0  # type: ignore[attr-defined]
            self.run_folder = runs.new_run(root, self.name) if first else root / self.name
        folder = self.run_folder or root / self.name
        config.trainer.default_root_dir = str(folder)
        config.checkpoint.dirpath = str(folder / runs.CHECKPOINTS)

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """The trainer, with loggers and callbacks that write into the run's folder."""
        config = self.config_init[self.subcommand]
        folder = config.trainer.default_root_dir
        if config.trainer.logger in (None, True):
            # Evaluation leaves the curves of the training alone.
            fits = self.subcommand == "fit"
            kwargs["logger"] = fits and [
                CSVLogger(folder, "logs"),
                TensorBoardLogger(folder, "tensorboard", version=""),
            ]
        kwargs["strategy"] = strategy_of(config.trainer.strategy, config.trainer.precision)
        trainer = super().instantiate_trainer(**kwargs)
        trainer.callbacks[:] = with_ours(trainer.callbacks)  # type: ignore[attr-defined]
        # Lightning's own `save_last` keeps the last of the BEST: a resumed run would repeat all epochs since then.
        # Behind the other callbacks, whose states it holds.
        last = ModelCheckpoint(config.checkpoint.dirpath, Path(runs.LAST).stem, enable_version_counter=False)
        trainer.callbacks.append(last)  # type: ignore[attr-defined]
        if self.subcommand == "predict":
            output = Path(config.output) if config.output else Path(folder) / "predictions.parquet"
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
        self.trainer.fit(**kwargs)

    def validate(self, **kwargs: Any) -> None:
        """Validate; the table of `after_validate` takes the place of Lightning's."""
        self.trainer.validate(**{**kwargs, "verbose": False})

    def test(self, **kwargs: Any) -> None:
        """Test; the table of `after_test` takes the place of Lightning's."""
        self.trainer.test(**{**kwargs, "verbose": False})

    def predict(self, **kwargs: Any) -> None:
        """Predict; the callback writes, so nothing is returned."""
        self.trainer.predict(**{**kwargs, "return_predictions": False})

    def before_prepare(self) -> None:
        """Print the data card, and keep it beside the assets: whatever the model will need, the data are there."""
        contents = card(self.datamodule.dataset)
        path = Path(self.config[self.subcommand].assets.root) / "cards" / f"{contents['name']}.json"
        runs.write_text(path, json.dumps(contents, indent=2) + "\n")
        print_card(contents)
        print(f"wrote {path}")

    def after_fit(self) -> None:
        """Say where everything is."""
        if self.trainer.is_global_zero and self.model.learns:
            print(f"run folder: {self.run_folder}")

    def after_validate(self) -> None:
        """Write ``validation.json`` and print the table."""
        self._write_results("validation", self.datamodule.dataset.validation, runs.VALIDATION)

    def after_test(self) -> None:
        """Write ``metrics.json`` and ``ranks.parquet``, and print the table."""
        if self.trainer.is_global_zero:
            assert self.run_folder is not None
            ranks.write(self.run_folder / ranks.FILE, self.model.ranks)
        self._write_results("test", self.datamodule.dataset.test, runs.METRICS)

    def _write_results(self, split: str, targets: Ragged, file: str) -> None:
        if not self.trainer.is_global_zero:
            return
        assert self.run_folder is not None
        config, dataset, model = self.config[self.subcommand], self.datamodule.dataset, self.model
        fit, kept = self.run_folder / runs.FIT, self.run_folder / runs.CONFIG
        fitted = json.loads(fit.read_text()) if fit.is_file() else {}
        results = {
            "dataset": dataset.name,
            "method": model.method,
            "backbone": model.language_model,
            # Of the training, whatever this command was told.
            "seed": (load_config(str(kept)) if kept.is_file() else config).get("seed_everything"),
            "split": split,
            "checkpoint": config.get("ckpt_path"),
            "overrides": self.overrides,
            "training": fitted.get("training", []),
            "precision": str(self.trainer.precision),
            "users": int((targets.lengths > 0).sum()),
            "items": len(dataset.catalog),
            "settings": model.results,
            "parameters": {
                "all": sum(part.numel() for part in model.parameters()),
                "trained": sum(part.numel() for part in model.parameters() if part.requires_grad),
            },
            "seconds": {
                "fit": fitted.get("seconds"),
                "rank": model.rank_seconds,
            },
            **environment(),
        }
        path = runs.set_aside(self.run_folder / file)
        runs.write_text(path, json.dumps(results, indent=2) + "\n")
        print_table([results])
        print(f"wrote {path}")


def _learns(class_path: str) -> bool:
    known = all_subclasses(RankingModule)
    return any(cls.learns for cls in known if class_path in (cls.__name__, f"{cls.__module__}.{cls.__qualname__}"))


def run(arguments: list[str]) -> None:
    """Parse and run a command.

    Raises:
        GenrecError: for every kind of bad input.
    """
    for entry in entry_points(group="genrec.identifiers"):
        entry.load()
    args, name, run_folder = compose(arguments)
    quieten()
    try:
        GenrecCLI(name, run_folder, args)
    except GenrecError:
        raise
    except Exception as error:
        if type(error).__name__ == "ArgumentError":
            raise GenrecError(explain(str(error))) from error
        if "loading state_dict" in str(error):
            reason = " ".join(str(error).split())[:200]
            raise GenrecError(
                f"the checkpoint was made with other settings than this config's; the config.yaml of its run has them "
                f"({reason} ...)"
            ) from error
        raise
