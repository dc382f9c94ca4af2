"""What a training step and a validation step make the host wait for, counted as if the CPU were a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from genrec.assets import Assets, ReleasedCF, TfidfText
from genrec.backbones import CausalBackbone, T5Backbone
from genrec.data import Dataset, InMemory, SequenceData, Task
from genrec.identifiers import ItemIdentifier, SETRec
from genrec.losses import Negatives
from genrec.recommenders.recommender import Recommender
from genrec.testing import Syncs, quiet_trainer
from genrec.testing.tiny import QWEN, T5
from genrec_baselines import DiffGRM, E4SRec, SemID

from ..identifiers.test_contract import FACTORIES, IDENTIFIERS

KINDS = {
    "t5": (lambda: T5Backbone(sizes=dict(T5)), "prefixes"),
    "causal": (lambda: CausalBackbone(sizes=dict(QWEN)), "prefixes"),
    "packed": (lambda: CausalBackbone(sizes=dict(QWEN)), "windows"),
}


class Counting(Recommender):
    """Counts the waits of its own steps, without the trainer's."""

    def training_step(self, *args: Any) -> Any:
        with Syncs() as self.training:
            loss = super().training_step(*args)
            torch.autograd.backward(loss, inputs=[p for p in self.parameters() if p.requires_grad], retain_graph=True)
            self.zero_grad()
        return loss

    def validation_step(self, *args: Any) -> Any:
        with Syncs() as self.validation:
            super().validation_step(*args)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("assets")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("identifier", IDENTIFIERS, ids=lambda cls: cls.__name__)
def test_a_step_waits_for_nothing(
    identifier: type[ItemIdentifier], kind: str, dataset: Dataset, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genrec.devices.exact_sizes", lambda device: False)
    module = run(FACTORIES.get(identifier, identifier)(), kind, dataset, root)
    assert not module.training.places
    # A search looks whether there is anything left to be written: a few times a token, for all users together.
    names = module.identifier.token_sequences()
    longest = 0 if names is None else names.paths().shape[1]
    # A diffusion looks once whether anybody has found too few items.
    most = 3 * longest + (identifier is DiffGRM)
    assert sum(module.validation.places.values()) <= most, module.validation.places


@pytest.mark.parametrize("negatives", [Negatives("uniform", 3), Negatives("popularity", 3), Negatives("in_batch")])
@pytest.mark.parametrize("identifier", [SETRec, E4SRec, SemID], ids=lambda cls: cls.__name__)
def test_drawing_negatives_waits_for_nothing(
    identifier: type[ItemIdentifier],
    negatives: Negatives,
    dataset: Dataset,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("genrec.devices.exact_sizes", lambda device: False)
    assert not run(identifier(), "packed", dataset, root, negatives).training.places


@pytest.mark.parametrize("kind", ["t5", "packed"])
@pytest.mark.parametrize("identifier", [SETRec, SemID], ids=lambda cls: cls.__name__)
def test_several_tasks_wait_for_nothing(
    identifier: type[ItemIdentifier], kind: str, dataset: Dataset, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genrec.devices.exact_sizes", lambda device: False)
    monkeypatch.setattr("genrec.types.columns", lambda mask: mask.shape[1])
    tasks = {"next": Task(["after <history>"]), "name": Task(["<item>"], "<title>"), "told": Task(["after <titles>"])}
    assert not run(identifier(), kind, dataset, root, tasks=tasks).training.places


def test_a_catalogue_in_parts_waits_for_nothing(dataset: Dataset, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrec.devices.exact_sizes", lambda device: False)
    monkeypatch.setattr("genrec.devices.WHOLE", 0)
    monkeypatch.setattr("genrec.devices.CACHED", 64)
    module = run(SETRec(), "packed", dataset, root)
    assert not module.training.places
    assert not module.validation.places


def run(
    identifier: ItemIdentifier,
    kind: str,
    dataset: Dataset,
    root: Path,
    negatives: Negatives | None = None,
    tasks: dict[str, Task] | None = None,
) -> Counting:
    """A step of training and one of validation."""
    backbone, samples = KINDS[kind]
    assets = Assets(text=TfidfText(dim=8), cf=ReleasedCF(), root=str(root))
    module = Counting(identifier, backbone(), assets, ks=(1, 2), negatives=negatives)
    data: Any = SequenceData(InMemory(dataset), batch_size=8, samples=samples, max_history=5, tasks=tasks)  # type: ignore[arg-type]
    quiet_trainer(max_steps=1, val_check_interval=1).fit(module, data)
    return module
