"""Folders that somebody else made: nothing in them is run, nothing is written outside, and one line says why."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from genrec import from_pretrained, load
from genrec.cli import main
from genrec.io import manifest

from ..served import SETREC, make_run, recommender

EVIL = "evil_of_this_test"
MARK = "GENREC_TEST_EXECUTED"
CODE = f"import os\nos.environ['{MARK}'] = '1'\nclass Evil:\n    def __init__(self, *a, **k):\n        pass\n"
CALL = ["os.system", f"echo > {MARK}"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    load(make_run(folder, recommender(SETREC))).save_pretrained(folder / "saved")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A saved recommender with code beside it, which is the working folder."""
    copy = tmp_path / "given" / "saved"
    shutil.copytree(made / "saved", copy)
    (copy / f"{EVIL}.py").write_text(CODE)
    monkeypatch.chdir(copy)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv(MARK, raising=False)
    return copy


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, outside: Path | None = None) -> str:
    """The one line that a command says of a hostile folder, which has done nothing."""
    before = sorted(outside.rglob("*")) if outside else []
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    said = capsys.readouterr()
    assert exit_.value.code == 2, said.err
    assert "Traceback" not in said.err
    (line,) = [line for line in said.err.splitlines() if line.startswith("genrec: error: ")]
    assert said.err.splitlines()[-1] == line
    unharmed()
    assert (sorted(outside.rglob("*")) if outside else []) == before
    return line


def unharmed() -> None:
    assert MARK not in os.environ
    assert EVIL not in sys.modules
    assert not Path(MARK).exists()


def recommend(capsys: pytest.CaptureFixture[str], folder: Path, history: str = "") -> str:
    return refused(capsys, "recommend", "--run", str(folder), "--history", history, outside=folder.parents[1])


def forge(folder: Path, change: Callable[[dict[str, Any]], Any] = lambda about: None) -> None:
    """Change a manifest as somebody does who knows how they are made."""
    about = json.loads((folder / manifest.FILE).read_text())
    for name in ("files", "sha256", "format", "genrec"):
        about.pop(name, None)
    change(about)
    kept = {path: path.read_bytes() for path in folder.glob("*.py")}
    for path in kept:
        path.unlink()
    manifest.write(folder, about)
    for path, code in kept.items():
        path.write_bytes(code)


def place(about: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split("/")
    for name in above:
        about = about[name]
    about[last] = value


MODEL, IDENTIFIER, BACKBONE = "model/init_args", "model/init_args/identifier", "model/init_args/backbone"
SIZES = f"{BACKBONE}/init_args/sizes"
HOSTILE: dict[str, tuple[str, Any]] = {
    "a function as the model": ("model/class_path", "os.system"),
    "a function as the identifier": (IDENTIFIER, {"class_path": CALL[0], "init_args": {"command": CALL[1]}}),
    "a class of the library's": (IDENTIFIER, {"class_path": "subprocess.Popen", "init_args": {"args": CALL[1:]}}),
    "a module beside the file": (IDENTIFIER, {"class_path": f"{EVIL}.Evil"}),
    "a module beside the file, in short": (IDENTIFIER, f"{EVIL}.Evil"),
    "a config beside the file": (IDENTIFIER, "config.yaml"),
    "a config in a text": (IDENTIFIER, f"class_path: {EVIL}.Evil"),
    "runpy": (BACKBONE, {"class_path": "runpy.run_path", "init_args": {"path_name": f"{EVIL}.py"}}),
    "timeit": (BACKBONE, {"class_path": "timeit.timeit", "init_args": {"stmt": f"__import__('{EVIL}')"}}),
    "torch.hub": (BACKBONE, {"class_path": "torch.hub.load", "init_args": {"repo_or_dir": ".", "source": "local"}}),
    "partial": (IDENTIFIER, {"class_path": "functools.partial", "init_args": {"func": "os.system"}}),
    "eval": ("assets/text", {"class_path": "builtins.eval", "init_args": {"source": f"__import__('{EVIL}')"}}),
    "a function of a module of ours": (BACKBONE, {"class_path": "genrec.serving.saving.shutil.rmtree"}),
    "a class of ours in another place": (IDENTIFIER, {"class_path": "genrec.recommenders.recommender.Recommender"}),
    "an asset that is no encoder": ("assets/text", {"class_path": "genrec.recommenders.SASRecCF"}),
    "an abstract name": (IDENTIFIER, {"class_path": "ItemIdentifier.Evil"}),
    "a class path that is no text": (IDENTIFIER, {"class_path": ["os", "system"]}),
    "arguments beside the arguments": (IDENTIFIER, {"class_path": "genrec.identifiers.SETRec", "dict_kwargs": {}}),
    "a key with dots": (f"{MODEL}/identifier.class_path", f"{EVIL}.Evil"),
    "a key of the parser": (f"{MODEL}/__path__", "config.yaml"),
    "a class among the sizes": (f"{SIZES}/d_kv", {"class_path": f"{EVIL}.Evil"}),
    "remote code among the sizes": (f"{SIZES}/auto_map", {"AutoModel": f"{EVIL}.Evil"}),
    "a file for the sizes": (SIZES, "sizes.yaml"),
    "a source of data": ("data/source", {"class_path": f"{EVIL}.Evil"}),
    "a text for a number": ("data/rank_batch_size", "os.system"),
    "an argument that is not there": ("data/commands", 1),
    "a package of a package": (f"{BACKBONE}/init_args", {"pretrained": f"package:{EVIL}.model", "sizes": None}),
    "a folder that is not there": (f"{BACKBONE}/init_args/tokenizer", "../../nowhere"),
    "a model that is not there": (f"{BACKBONE}/init_args", {"pretrained": "language_model", "sizes": None}),
    "more values than a config has": (f"{SIZES}/list", list(range(20_000))),
    "another data set's name": ("dataset", ["x"]),
    "no number of items": ("items", "140"),
    "more items than there are": ("items", 10**12),
    "no folders": ("folders", []),
    "folders without a name": ("folders", {"tokenizer": 1}),
    "the folder itself": ("folders", {"tokenizer": ""}),
    "the folder above": ("folders", {"tokenizer": ".."}),
    "a folder elsewhere": ("folders", {"tokenizer": "../tokenizer"}),
    "a folder for something else": ("folders", {"sizes": "tokenizer"}),
    "no list of parts": ("brought", "backbone."),
    "a list of other things": ("brought", [1]),
    "no model": ("model", []),
    "a model without a class": ("model", {}),
    "no assets": ("assets", None),
    "no data": ("data", "../data"),
}


TIGER = "genrec_baselines.TIGER"
LARGE: dict[str, tuple[str, Any, str]] = {
    "a wide model": (f"{SIZES}/d_model", 10**6, "model.safetensors` cannot hold"),
    "a wide layer": (f"{SIZES}/d_ff", 10**7, "model.safetensors` cannot hold"),
    "many layers": (f"{SIZES}/num_layers", 10**6, "model.safetensors` cannot hold"),
    "many heads": (f"{SIZES}/num_heads", 10**6, "model.safetensors` cannot hold"),
    "many semantic tokens": (f"{IDENTIFIER}/init_args/n_semantic", 10**6, "model.safetensors` cannot hold"),
    "a number of its own": (f"{SIZES}/d_model", 10**12, "d_model` is a number beyond"),
    "a number in a text": (f"{SIZES}/d_model", str(10**12), "d_model` is a number beyond"),
    "a number below all": ("data/max_history", -(10**12), "max_history` is a number beyond"),
    "many labels": (f"{SIZES}/num_labels", 10**6, "`num_labels`, which is no field of T5Config"),
    "other numbers": (f"{SIZES}/dtype", "float64", "`dtype`, which is no field of T5Config"),
    "another attention": (f"{SIZES}/attn_implementation", "eager", "is no field of T5Config"),
    "a long prompt": (f"{MODEL}/template", "<history>" + " x" * 10**6, "is a text of 2,000,009 letters"),
    "many codes": (IDENTIFIER, {"class_path": TIGER, "init_args": {"codes": {"size": 10**7}}}, "1,048,576 codes"),
    "many levels": (IDENTIFIER, {"class_path": TIGER, "init_args": {"codes": {"levels": 10**6}}}, "1,048,576 codes"),
    "many samples": (
        IDENTIFIER,
        {"class_path": "genrec_baselines.DreamRec", "init_args": {"diffusion": {"samples": 10**6}}},
        "samples <= 1,000",
    ),
    "many beams": (
        IDENTIFIER,
        {"class_path": "genrec_baselines.BIGRec", "init_args": {"beams": 10**6}},
        "1 to 1,000 beams",
    ),
    "weights from nowhere": ("brought", [""], "lacks what no language model brings"),
    "weights of no language model": ("brought", ["backbone.t5."], "lacks what no language model brings"),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_would_fill_the_memory_is_not_made(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, value, reason = LARGE[name]
    forge(folder, lambda about: place(about, path, value))
    assert reason in recommend(capsys, folder)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_config_names_is_not_run(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forge(folder, lambda about: place(about, *HOSTILE[name]))
    line = recommend(capsys, folder)
    assert str(folder) in line
    if f"{EVIL}.Evil" in str(HOSTILE[name][1]) and name.startswith("a module"):
        assert "nothing that a folder names is imported, unless you trust it" in line


@pytest.mark.parametrize("path", ["os.system", f"{EVIL}.Evil", "runpy.run_path", "torch.optim.SGD"])
def test_an_optimiser_is_neither_saved_nor_made(path: str, folder: Path) -> None:
    assert "optimizer" not in (folder / manifest.FILE).read_text()
    forge(folder, lambda about: place(about, f"{MODEL}/optimizer", {"class_path": path, "init_args": {"x": 1}}))
    served = from_pretrained(folder)
    unharmed()
    assert "optimizer" not in served.config["model"]["init_args"]
    assert served.recommend([[]], k=2).height == 2


@pytest.mark.parametrize("field", manifest.FIELDS)
def test_a_field_that_is_missing(field: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = json.loads((folder / manifest.FILE).read_text())
    del about[field]
    (folder / manifest.FILE).write_text(json.dumps(about))
    assert f"`{field}`" in recommend(capsys, folder)


def test_a_manifest_that_is_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("", "null", "[1]", "[" * 100_000, '{"format": NaN}', '{"format": {"a": 1}}', "\ud800", " " * 2**25):
        (folder / manifest.FILE).write_text(text, errors="surrogatepass")
        assert manifest.FILE in recommend(capsys, folder)


@pytest.mark.parametrize("name", ["recommender.json", "items.parquet", "model.safetensors", "tokenizer/tokenizer.json"])
def test_a_flipped_bit(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray((folder / name).read_bytes())
    spot = content.find(b'"n_semantic": 2') + 14 if name == manifest.FILE else len(content) // 2
    content[spot] ^= 1
    (folder / name).write_bytes(content)
    assert name in recommend(capsys, folder)


@pytest.mark.parametrize(
    "change", [lambda items: items.reverse(), lambda items: items.head(-1)], ids=["order", "short"]
)
def test_another_catalogue(
    change: Callable[[pl.DataFrame], pl.DataFrame], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(pl.read_parquet(folder / "items.parquet")).write_parquet(folder / "items.parquet")
    assert "items.parquet` is missing or damaged" in recommend(capsys, folder)


def write_offsets(folder: Path) -> None:
    header = json.dumps({"weight": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 64)


def write_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")


def write_shapes(folder: Path) -> None:
    weights = {name: weight.repeat(2, *[1] * (weight.ndim - 1)) for name, weight in _weights(folder).items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt", "same": "{}"})


def write_same(folder: Path) -> None:
    save_file(_weights(folder), folder / "model.safetensors", {"same": '{"backbone.t5.shared.weight": "nothing"}'})


def write_not_json(folder: Path) -> None:
    save_file(_weights(folder), folder / "model.safetensors", {"same": "[" * 100_000})


def write_words(folder: Path) -> None:
    words = json.dumps({"vocabulary": ["x" * 10**6, *["y"] * 10**5]})
    (text,) = (folder / "assets").glob("text-tfidf-8-*")
    save_file({}, text, {"words": words})


def write_rows(folder: Path) -> None:
    table = pl.read_parquet(folder / "items.parquet").to_arrow()
    part = table.slice(0, 1).take(pa.array([0] * 2**20))
    with pq.ParquetWriter(folder / "items.parquet", part.schema) as writer:
        for _ in range(4):
            writer.write_table(part)


def write_zeros(folder: Path) -> None:
    text = pa.table({"item": pa.array(["\0" * 2**25])})
    pq.write_table(text, folder / "items.parquet", compression="zstd", use_dictionary=False)


def write_columns(folder: Path) -> None:
    pl.DataFrame({"item": [["a"]], "count": [1]}).write_parquet(folder / "items.parquet")


def write_counts(folder: Path) -> None:
    items = pl.read_parquet(folder / "items.parquet")
    items.with_columns(pl.lit(-1, pl.Int64).alias("count")).write_parquet(folder / "items.parquet")


def write_twice(folder: Path) -> None:
    items = pl.read_parquet(folder / "items.parquet")
    items.with_columns(pl.lit("same").alias("item")).write_parquet(folder / "items.parquet")


def write_remote_code(folder: Path) -> None:
    (folder / "tokenizer" / "tokenizer.json").unlink()
    about = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": [f"{EVIL}.Evil", f"{EVIL}.Evil"]}}
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "tokenizer" / "config.json").write_text(json.dumps({"auto_map": {"AutoConfig": f"{EVIL}.Evil"}}))


def write_code(folder: Path) -> None:
    write_remote_code(folder)
    (folder / "tokenizer" / f"{EVIL}.py").write_text(CODE)


def write_tokenizer(folder: Path) -> None:
    (folder / "tokenizer" / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "Evil"}}')


def write_pickle(folder: Path) -> None:
    (folder / "language_model").mkdir()
    (folder / "language_model" / "pytorch_model.bin").write_bytes(pickle.dumps(Calls()))


def write_link(folder: Path) -> None:
    shutil.move(folder / "items.parquet", folder.parent / "elsewhere.parquet")
    (folder / "items.parquet").symlink_to(folder.parent / "elsewhere.parquet")


def write_link_to_a_folder(folder: Path) -> None:
    shutil.move(folder / "tokenizer", folder.parent / "tokenizer")
    (folder / "tokenizer").symlink_to(folder.parent / "tokenizer")


FILES = [value for name, value in sorted(globals().items()) if name.startswith("write_")]


class Calls:
    """Pickles as a call."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (CALL[1],)


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("write", FILES, ids=[write.__name__.removeprefix("write_") for write in FILES])
def test_files_of_others(write: Callable[[Path], None], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder)
    forge(folder)
    line = recommend(capsys, folder)
    assert str(folder) in line
    assert write not in (write_rows, write_zeros) or "made to fill it" in line


def test_a_file_that_the_manifest_does_not_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "tokenizer" / f"{EVIL}.py").write_text(CODE)
    assert f"{EVIL}.py` does not belong to what was saved" in recommend(capsys, folder)


@pytest.mark.parametrize(
    "name",
    ["../secret.json", "/etc/hostname.json", "assets/../../secret.json", "a\\..\\b.json", "a\0b.json", "\ud800.json"],
)
def test_names_that_lead_outside(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder.parent / "secret.json").write_text("{}")
    about = json.loads((folder / manifest.FILE).read_text())
    about["files"][name] = "0" * 64
    del about["sha256"]
    (folder / manifest.FILE).write_text(json.dumps({**about, "sha256": manifest._hash(about)}))
    assert "lies outside of its folder" in recommend(capsys, folder)


def test_texts_do_not_steer_a_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = pl.read_parquet(folder / "items.parquet")
    evil = items.with_columns(title=pl.lit("\x1b[2Jone\nother [red]title"))
    evil.write_parquet(folder / "items.parquet")
    forge(folder)
    main(["recommend", "--run", str(folder), "--history", items["item"][0], "--k", "1"])
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert r"\x1b[2Jone\nother [red]title" in said
    assert r"\x1b[2J" in recommend(capsys, folder, "\x1b[2J")


def test_a_link_to_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "items.parquet").unlink()
    (folder / "items.parquet").symlink_to(folder / "items.parquet")
    assert "lies outside of its folder" in recommend(capsys, folder)


def test_metadata_in_the_folder_make_no_plugin(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forge(folder, lambda about: place(about, IDENTIFIER, {"class_path": f"{EVIL}.Evil"}))
    about = folder / f"{EVIL}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {EVIL}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[genrec.identifiers]\nevil = {EVIL}\n")
    sys.path.insert(0, str(folder))
    assert "nothing that a folder names is imported" in recommend(capsys, folder)


@pytest.mark.slow
def test_modules_in_the_working_folder_are_not_found(folder: Path) -> None:
    for name in ("wandb", "flash_attn", "torchvision", "bitsandbytes", "kernels", "genrec", "torch", "yaml"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name} was imported')")
    command = [sys.executable, "-P", "-m", "genrec", "recommend", "--run", ".", "--history", "", "--k", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "was imported" not in done.stderr
    assert "user 0" in done.stdout
