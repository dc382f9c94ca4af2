"""The commands that need a trainer, built on LightningCLI."""

from __future__ import annotations

import json
import re
import sys
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import lightning as L
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.utilities.exceptions import SIGTERMException

from genrec.analysis.report import print_table
from genrec.assets import exporting
from genrec.assets.store import in_a_line
from genrec.config.failures import constructing, explained, one_line
from genrec.data.card import card, print_card
from genrec.data.files.places import PREPARED
from genrec.decoding.vector_index import Kind
from genrec.errors import GenrecError
from genrec.evaluation import ranks
from genrec.io.files import beside, write_new, write_text
from genrec.io.folders import distrust_damaged
from genrec.io.quiet import quieten
from genrec.io.stopping import CODE
from genrec.runs import layout, restoring, reuse
from genrec.runs.plugins import plugins
from genrec.runs.trusted import look_here
from genrec.training import indexed
from genrec.training.arguments import compose
from genrec.training.callbacks import LastCheckpoint, PredictionWriter, with_ours
from genrec.training.interface import EVALUATIONS, TRUST, Interface
from genrec.training.record import record
from genrec.training.trainer import make_loggers, strategy_of
from genrec.training.whole_files import WholeFiles


class GenrecCLI(Interface):
    """The commands: what is made of their arguments, run, and written down."""

    cost: indexed.Cost | None = None

    def instantiate_classes(self) -> None:
        """Make model, data and trainer; what their constructors refuse is told in their own words."""
        try:
            super().instantiate_classes()
            self.model.measure = self.config_init[self.subcommand].measure
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
        kind = self.index
        if kind:
            indexed.refuse(self.trainer, self.model, self.datamodule, kind)
        self.trainer.test(**{**kwargs, "verbose": False})
        if kind:
            self.cost = indexed.cost(self.trainer, self.model, self.datamodule, kind, kwargs.get("ckpt_path"))

    def predict(self, **kwargs: Any) -> None:
        """Predict; the callback writes, so nothing is returned."""
        self._adopt(kwargs)
        if kind := self.index:
            indexed.refuse(self.trainer, self.model, self.datamodule, kind)
            searches = indexed.SearchesIndex(self.datamodule, kind, kwargs.get("ckpt_path"))
            self.trainer.callbacks.append(searches)  # type: ignore[attr-defined]
        self.trainer.predict(**{**kwargs, "return_predictions": False})

    @property
    def index(self) -> Kind | None:
        """Of the items, that is to be searched (``--index``)."""
        return self.config[self.subcommand].index

    def _adopt(self, kwargs: dict[str, Any]) -> None:
        """Use the data as those of the training, and say in which they are others."""
        if kwargs.get("ckpt_path") and self.model.learns:
            changed = restoring.adopt(self.model, self.datamodule, Path(kwargs["ckpt_path"]))
            self.overrides = [*self.overrides, *(f"other data: {what}" for what in changed)]
            if self.trainer.is_global_zero:
                reuse.tell_data(changed)

    def before_prepare(self) -> None:
        """Print the data card, and keep it beside the assets: whatever the model will need, the data are there."""
        config = self.config[self.subcommand]
        if config.verify:
            roots = (Path(config.assets.root), self.datamodule.root / PREPARED)
            for folder in chain.from_iterable(map(distrust_damaged, roots)):
                print(f"{folder} is damaged: what is needed of it is built anew")
        contents = card(self.datamodule.dataset)
        path = Path(config.assets.root) / "cards" / f"{contents['name']}.json"
        write_text(path, json.dumps(contents, indent=2) + "\n")
        print_card(contents)
        self.datamodule.told = True
        print(f"wrote {path}")

    def after_prepare(self) -> None:
        """Say what the building of the assets told of their results, whether it was now or before."""
        told = self.model.item_assets.diagnostics() if self.model.item_assets is not None else {}
        for key, numbers in told.items():
            print(f"{key}: {in_a_line(numbers)}")
        if output := self.config[self.subcommand].output:
            for path in exporting.export(self.model.item_assets, Path(output)):
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
        if self.cost and self.run_folder:
            path = self.run_folder / f"index_{self.cost.kind}.json"
            text = json.dumps(self.cost.record(), indent=2) + "\n"
            write_new(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))
            self.cost.print()
            print(f"wrote {path}")

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
