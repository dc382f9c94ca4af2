"""What no command can do is said in one line, with exit code 2; one table, in one process."""

from __future__ import annotations

import errno
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from genrec.cli import main
from genrec.disk import cannot_write

FIT = "fit --config synthetic_setrec.yaml --data.source.init_args.users 150 --data.source.init_args.items 140"
CHEAP = "test --config synthetic_popularity.yaml --data.source.init_args.users 150 --data.source.init_args.items 140"
MODEL = "--model.init_args"
IDENTIFIER = f"{MODEL}.identifier.init_args"

KEYS = {
    f"{MODEL}.ks [0]": "the cut-offs `ks` must be positive numbers, got [0]",
    f"{MODEL}.ks a": "config key `model.init_args.ks`: expected a list, not `a`",
    f"{MODEL}.template x": "the prompt template must hold <history> exactly once: 'x'",
    f"{IDENTIFIER}.n_semantic -1": "SETRec needs at least one token per item, got n_semantic=-1, use_cf=True",
    f"{IDENTIFIER}.betas []": "SETRec needs betas between 0 and 1, got []",
    f"{IDENTIFIER} null": "config key `model.init_args.identifier.init_args` holds the arguments of SETRec by name",
    f"{MODEL}.backbone.init_args.pretrained x/y": "T5Backbone takes either `pretrained` (a model's name or folder) or",
    f"{MODEL}.optimizer.init_args.lr -1": "Invalid learning rate: -1.0",
    f"{MODEL}.identifier_lr -1": "`identifier_lr` of the model is -1.0: give 0 or more",
    f"{MODEL}.warmup_steps -1": "`warmup_steps` of the model is -1: give 0 or more",
    f"{MODEL}.identifier 5": "config key `model.init_args.identifier`: expected a class of ItemIdentifier (BIGRec, ",
    "--model 5": "config key `model`: expected a class of RankingModule (ItemKNN, Popularity, ",
    "--data 5": "config key `data` holds other keys: it cannot be `5`",
    "--data.rank_batch_size 0": "data.rank_batch_size is 0: give 1 or more",
    "--data.max_history -1": "data.max_history is -1: give 1 or more",
    "--data.source.init_args.users x": "config key `data.source.init_args.users`: expected a whole number, not `x`",
    "--seed_everything -1": "`seed_everything` is a whole number from 0 to 4294967295, not -1",
    "--seed_everything 4294967296": "`seed_everything` is a whole number from 0 to 4294967295, not 4294967296",
    "--assets.text.init_args.dim 0": "`dim` of TfidfText is 0: give 1 or more",
    "--assets.cf.init_args.dim 0": "`dim` of SASRecCF is 0: give 1 or more",
    "--checkpoint.mode up": "`mode` can be min, max but got up",
    "--checkpoint.monitor val/foo": "`checkpoint.monitor: val/foo` will not be measured",
    "--early_stopping.mode up": "`mode` can be min, max, got up",
    "--early_stopping.monitor foo": "`early_stopping.monitor: foo` will not be measured",
}

CONFIGS = {
    "utf16": ("a: 1".encode("utf-16"), "utf16.yaml: a config is a text in UTF-8, which this is not (byte 0)"),
    "latin1": ("a: é".encode("latin-1"), "latin1.yaml: a config is a text in UTF-8, which this is not (byte 3)"),
    "binary": (bytes(range(1, 256)), "a config is a text in UTF-8"),
    "lists": (b"[" * 3000, "lists.yaml: a config is not nested so deeply"),
    "mappings": (b"a: " + b"{a: " * 3000, "mappings.yaml: a config is not nested so deeply"),
    "nul": (b"a: \0", "nul.yaml: not valid YAML (unacceptable character #x0000"),
    "number": (b"5", "number.yaml: a config is a mapping of keys to values, not int"),
    "itself": (b"compose: [itself.yaml]", "itself.yaml: the config is a part of itself (`compose`)"),
    "round": (b"compose: [again.yaml]", "round.yaml: the config is a part of itself (`compose`)"),
    "five": (b"compose: 5", "five.yaml: `compose` is a list of config files, not `5`"),
    "word": (b"compose: a.yaml", "word.yaml: `compose` is a list of config files, not `a.yaml`"),
    "fives": (b"compose: [5]", "fives.yaml: `compose` is a list of config files, not `[5]`"),
    "key": (b"5: a", "key.yaml: a key is a text, not `5`"),
    "hash": (b"{[a]: b}", "hash.yaml, line 1: not valid YAML (found unhashable key)"),
    "date": (b"a: 2020-99-99", "date.yaml: not valid YAML (month must be in 1..12)"),
    "tag": (b"a: !!python/object:os.system b", "tag.yaml, line 1: not valid YAML (could not determine a constructor"),
}

STUDIES = {
    "study lists.yaml --dry-run": ("config: [a]", "lists.yaml: a config is the name of a file, not `['a']`"),
    "study nested.yaml --dry-run": ("configs: [[a]]", "nested.yaml: a config is the name of a file, not `['a']`"),
    "study number.yaml --dry-run": ("config: 5", "number.yaml: a config is the name of a file, not `5`"),
    "study up.yaml --dry-run": ("name: ../up", "up.yaml: the name of a study is that of a folder"),
    "tune seed.yaml": (
        "{config: synthetic_popularity.yaml, seed: abc, space: {a: [1]}}",
        "seed.yaml: `seed` is a whole number and `set` a mapping of keys, not `abc` and `{}`",
    ),
    "tune keys.yaml": (
        "{config: synthetic_popularity.yaml, set: abc, space: {a: [1]}}",
        "keys.yaml: `seed` is a whole number and `set` a mapping of keys, not `42` and `abc`",
    ),
}

PLACES = {
    "--runs /etc/passwd": "cannot use `/etc/passwd/synthetic_popularity/",
    "--runs /proc/there": "cannot use `/proc/there",
    "--config .": "there is no config file `.`",
    "--config a\0b": "there is no config file",
    f"--config {'x' * 5000}": "there is no config file `xxx",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def complaint(capsys: pytest.CaptureFixture[str], command: str) -> str:
    """The one line that is said."""
    with pytest.raises(SystemExit) as exit_:
        main(shlex.split(command))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("genrec: error: ")]
    assert exit_.value.code == 2
    assert not any(word in line for word in ("NestedArg", "Union", "Namespace", "jsonargparse"))
    return line.removeprefix("genrec: error: ")


@pytest.mark.parametrize(("keys", "said"), KEYS.items(), ids=KEYS)
def test_keys(keys: str, said: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint(capsys, f"{FIT} {keys}").startswith(said)
    assert not list(here.rglob("*")), "nothing is left behind"


@pytest.mark.parametrize("name", CONFIGS)
def test_configs(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents, said = CONFIGS[name]
    (here / "again.yaml").write_text("compose: [round.yaml]")
    (here / f"{name}.yaml").write_bytes(contents)
    for command in ("fit --config", "study"):
        assert said in complaint(capsys, f"{command} {name}.yaml")


@pytest.mark.parametrize("command", STUDIES)
def test_studies(command: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, said = STUDIES[command]
    (here / command.split()[1]).write_text(text)
    assert complaint(capsys, command).startswith(said)


def test_the_name_of_a_study_may_be_a_number(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "study.yaml").write_text("{name: 5, config: synthetic_popularity.yaml}")
    main(["study", "study.yaml", "--dry-run"])
    assert capsys.readouterr().out.startswith("5: checking the settings of 1 rows")


@pytest.mark.parametrize(("keys", "said"), PLACES.items(), ids=range(len(PLACES)))
def test_places(keys: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint(capsys, f"{CHEAP} {keys}").startswith(said)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 500, 20_000])
def test_files_that_may_not_be_so_large(size: int, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As on a full disk: config, results and checkpoints end in the middle."""
    command = FIT.replace("--data", "--trainer.max_steps 1 --trainer.enable_progress_bar false --data", 1)
    with files_of_at_most(size):
        said = complaint(capsys, command)
    assert "ulimit -f" in said
    assert not list(here.rglob("*.ckpt"))


SIZES = "--data.source.init_args.users 150 --data.source.init_args.items 140"
WRITES = {
    f"{CHEAP} --trainer.enable_progress_bar false": "ulimit -f",
    f"prepare --config synthetic_setrec.yaml {SIZES} --assets.root assets": "ulimit -f",
    "report RUN --output r.md": "cannot write `r.md`: File too large",
    "report RUN --plots plots": "cannot write `plots/synthetic_groups.png`: File too large",
    "recommend --run RUN --history '' --output r.jsonl": "cannot write `r.jsonl`: File too large",
    "recommend --run RUN --history '' --output r.parquet": "ulimit -f",
    f"study study.yaml --studies s {SIZES}": "ulimit -f",
}
ELSEWHERE = {
    "report RUN --output .": "`.` is a folder: give the name of a file",
    "report RUN --output /proc/there.md": "cannot write `/proc/there.md`",
    "report RUN --plots /etc/passwd": "cannot write `/etc/passwd/synthetic_groups.png`",
    "report /etc/passwd": "no metrics.json in /etc/passwd",
    "recommend --run RUN --history '' --output /etc/passwd/r.jsonl": "cannot write `/etc/passwd/r.jsonl`",
    "recommend --run /etc/passwd --history ''": "there is no trained recommender in `/etc/passwd`",
    "inspect /etc/passwd": "there is no trained recommender in `/etc/passwd`",
    "compare /etc/passwd RUN": "no metrics.json in /etc/passwd",
    "study study.yaml --studies /etc/passwd": "cannot use `/etc/passwd/study/",
    "study study.yaml --studies /proc/there": "cannot use `/proc/there`",
    f"{FIT} --assets.root /proc/there": "cannot use `/proc/there`",
    f"{FIT} --ckpt_path /etc/passwd": "`/etc/passwd` is not a checkpoint",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The results of a recommender that learns nothing."""
    root = tmp_path_factory.mktemp("refusals") / "runs"
    main(shlex.split(f"{CHEAP} --trainer.enable_progress_bar false --runs {root}"))
    (made,) = root.glob("*/*")
    return str(made)


@pytest.mark.parametrize("command", WRITES, ids=range(len(WRITES)))
def test_whatever_writes(command: str, run: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "study.yaml").write_text("config: synthetic_popularity.yaml")
    with files_of_at_most(10):
        said = complaint(capsys, command.replace("RUN", run))
    assert WRITES[command] in said
    assert not [path for path in here.iterdir() if path.name.startswith("r.")], "half a file is none"


@pytest.mark.parametrize("command", ELSEWHERE, ids=range(len(ELSEWHERE)))
def test_other_places(command: str, run: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "study.yaml").write_text("config: synthetic_popularity.yaml")
    assert complaint(capsys, command.replace("RUN", run)).startswith(ELSEWHERE[command])


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EISDIR])
def test_what_the_system_says(number: int) -> None:
    inner = OSError(number, os.strerror(number), "runs/a")
    outer = RuntimeError("in a library")
    outer.__cause__ = inner
    assert cannot_write(inner) == cannot_write(outer)
    assert str(cannot_write(inner)).startswith("cannot use `runs/a`: ")
    assert cannot_write(RuntimeError("of ours")) is None
    assert cannot_write(KeyError("x")) is None


@pytest.mark.parametrize(("stdout", "code"), [(">&-", 0), (">/dev/full", 2)], ids=["closed", "full"])
def test_standard_output(stdout: str, code: int, here: Path) -> None:
    """Of a process: what Python still holds at its end must not be complained of, either."""
    program = "from genrec.cli import main; main(['study', 'study.yaml', '--dry-run'])"
    (here / "study.yaml").write_text("config: synthetic_popularity.yaml")
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {stdout}', sys.executable, program], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert len([line for line in done.stderr.splitlines() if "error" in line.lower()]) == (code == 2), done.stderr
    assert "Traceback" not in done.stderr
