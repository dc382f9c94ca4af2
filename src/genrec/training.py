"""The commands that need a trainer, built on LightningCLI."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
import zipfile
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

import genrec.assets.sasrec
import genrec.recommender
import genrec.references  # noqa: F401 - imported, the modules' short class names are known to the command line
from genrec import ranks, runs
from genrec.arguments import all_subclasses, compose, explain
from genrec.assets import Assets
from genrec.callbacks import PredictionWriter, SaveConfig, Throughput
from genrec.configuration import load_config
from genrec.data import Ragged, SequenceData
from genrec.data.card import card, print_card
from genrec.errors import GenrecError
from genrec.evaluation import RankingModule
from genrec.report import environment, print_table


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
        super().__init__(
            RankingModule,
            SequenceData,
            trainer_class=Trainer,
            save_config_callback=SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            seed_everything_default=42,
            auto_configure_optimizers=False,
            subclass_mode_model=True,
            # No abbreviations: half a key is a mistake, and what it means could change with the next option.
            parser_kwargs={"exit_on_error": False, "allow_abbrev": False},
            args=args,
        )

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
                "trainer.use_distributed_sampler": False,  # the data module shards users itself
                "trainer.num_sanity_val_steps": 0,
                "trainer.log_every_n_steps": 20,
                "checkpoint.monitor": "val/ndcg@10",
                "checkpoint.mode": "max",
                "checkpoint.filename": Path(runs.BEST).stem,
                "checkpoint.enable_version_counter": False,
                "early_stopping.monitor": "val/ndcg@10",
                "early_stopping.mode": "max",
                "early_stopping.patience": 10,
            }
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and look at the checkpoint that was named before Lightning opens it."""
        super().parse_arguments(parser, args)
        path = self.config[self.config.subcommand].get("ckpt_path")
        if path and path != "last":
            _check_checkpoint(Path(path))

    def before_instantiate_classes(self) -> None:
        """Decide which run this is about, and let everything be written into its folder."""
        config = self.config[self.subcommand]
        root = Path(config.runs)
        checkpoint = config.get("ckpt_path")
        if self.subcommand == "fit":
            if checkpoint == "last":
                self.run_folder = self.run_folder or _trained(root / self.name, f"{runs.CHECKPOINTS}/{runs.LAST}")
                config.ckpt_path = str(self.run_folder / runs.CHECKPOINTS / runs.LAST)
                print(f"resuming {self.run_folder}")
            else:
                self.run_folder = None
        elif self.subcommand in ("test", "validate", "predict"):
            self._find_checkpoint(config, root)
        if self.subcommand != "prepare" and self.run_folder is None:
            # Only the first of several processes writes into it.
            first = rank_zero_only.rank == 0  # type: ignore[attr-defined]
            self.run_folder = runs.new_run(root, self.name) if first else root / self.name
        folder = self.run_folder or root / self.name
        config.trainer.default_root_dir = str(folder)
        config.checkpoint.dirpath = str(folder / runs.CHECKPOINTS)

    def _find_checkpoint(self, config: Any, root: Path) -> None:
        """The checkpoint to evaluate: the one that was named, or the best of the newest run."""
        if config.get("ckpt_path"):
            self.run_folder = runs.run_of(Path(config.ckpt_path)) or self.run_folder
        elif _learns(config.model.class_path):
            best = f"{runs.CHECKPOINTS}/{runs.BEST}"
            self.run_folder = self.run_folder or _trained(root / self.name, best)
            config.ckpt_path = str(self.run_folder / best)
            print(f"using {config.ckpt_path}, the best checkpoint of the newest run of {self.name}")

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
        trainer = super().instantiate_trainer(**kwargs)
        trainer.callbacks.append(Throughput())  # type: ignore[attr-defined]
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
        fit, trained = self.run_folder / runs.FIT, self.run_folder / runs.CONFIG
        results = {
            "dataset": dataset.name,
            "method": model.method,
            "backbone": model.language_model,
            # Of the training, whatever this command was told.
            "seed": (load_config(str(trained)) if trained.is_file() else config).get("seed_everything"),
            "split": split,
            "checkpoint": config.get("ckpt_path"),
            "users": int((targets.lengths > 0).sum()),
            "items": len(dataset.catalog),
            "settings": model.results,
            "parameters": {
                "all": sum(part.numel() for part in model.parameters()),
                "trained": sum(part.numel() for part in model.parameters() if part.requires_grad),
            },
            "seconds": {
                "fit": json.loads(fit.read_text())["seconds"] if fit.is_file() else None,
                "rank": model.rank_seconds,
            },
            **environment(),
        }
        path = runs.set_aside(self.run_folder / file)
        runs.write_text(path, json.dumps(results, indent=2) + "\n")
        print_table([results])
        print(f"wrote {path}")


def _trained(folder: Path, checkpoint: str) -> Path:
    """The newest run in a folder of runs that has a checkpoint."""
    run = runs.newest_run(folder, checkpoint)
    if run is None:
        raise GenrecError(
            f"no run with a {checkpoint} under {folder}: run `genrec fit` with the same config first, or give "
            "--ckpt_path"
        )
    return run


def _check_checkpoint(path: Path) -> None:
    if not path.is_file():
        raise GenrecError(f"there is no checkpoint file `{path}`")
    if not zipfile.is_zipfile(path):
        raise GenrecError(f"`{path}` is not a checkpoint, or not a whole one")


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
    # A config may name a class of the user's own, in a module beside it: `class_path: my_module.MyIdentifier`.
    sys.path.append(os.getcwd())
    args, name, run_folder = compose(arguments)
    _quieten()
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


def _quieten() -> None:
    """Silence what Lightning says to its own developers, so that the rest is read."""
    # We do hand over arguments beside those of the process: the same ones, with their configs composed.
    warnings.filterwarnings("ignore", "LightningCLI's args parameter")
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")
    warnings.filterwarnings("ignore", "Couldn't infer the batch indices")
    tips = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    tips.addFilter(lambda record: "Tip: For seamless" not in record.getMessage())
