"""What is written for others is what is read again, to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from genrec.assets import Assets, FileCodes, FileEmbeddings, ReleasedCF, RQKMeansCodes, TfidfText
from genrec.assets.exporting import export
from genrec.cli import main
from genrec.data import Dataset
from genrec.errors import GenrecError
from genrec.identifiers import SETRec
from genrec.testing import HISTORY, TinyModel, tiny_backbone
from genrec_baselines import TIGER

CODES = RQKMeansCodes(levels=2, size=3, seed=0)


def test_out_and_in_again_is_the_same_ranking(dataset: Dataset, tmp_path: Path) -> None:
    ours = Assets(TfidfText(dim=8), ReleasedCF(), str(tmp_path)).bind(dataset)
    models = [TinyModel(identifier, tiny_backbone("t5"), dataset, ours) for identifier in (SETRec(2), TIGER(CODES))]
    written = {path.name.split("-")[0]: path for path in export(ours, tmp_path / "out")}

    assert {path.suffix for path in written.values()} == {".parquet", ".json"}
    assets = Assets(*(FileEmbeddings(str(written[name])) for name in ("text", "cf")), str(tmp_path / "b")).bind(dataset)
    again = [SETRec(2), TIGER(FileCodes(str(written["codes"])))]
    for model, identifier in zip(models, again, strict=True):
        other = TinyModel(identifier, tiny_backbone("t5"), dataset, assets)
        for before, after in zip(model.rank(HISTORY), other.rank(HISTORY), strict=True):
            assert torch.equal(before, after)


def test_older_files_stay(dataset: Dataset, tmp_path: Path) -> None:
    assets = Assets(TfidfText(dim=8), root=str(tmp_path)).bind(dataset)
    assets.codes(CODES)
    first = {path: path.read_bytes() for path in export(assets, tmp_path / "out")}
    second = export(assets, tmp_path / "out")

    assert sorted(second) == sorted(first)
    assert len(list((tmp_path / "out").iterdir())) == 2 * len(first)


def test_nothing_to_export(dataset: Dataset, tmp_path: Path) -> None:
    for assets in (None, Assets(root=str(tmp_path)).bind(dataset)):
        with pytest.raises(GenrecError, match="nothing to export"):
            export(assets, tmp_path)


def test_the_command_writes_into_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    without_cf = ["--assets.cf", "null", "--model.init_args.identifier.init_args.use_cf", "false"]
    main(["export-assets", "--config", "synthetic_setrec.yaml", "--output", "out", *without_cf])
    (path,) = (tmp_path / "out").iterdir()
    assert f"wrote out/{path.name}" in capsys.readouterr().out
    assert FileEmbeddings(str(path)).name == f"file-{path.stem}"
    with pytest.raises(SystemExit):
        main(["export-assets", "--config", "synthetic_setrec.yaml"])
    assert "export-assets writes into a folder: give `--output FOLDER`" in capsys.readouterr().err
