"""What no command can do is said in one line, with exit code 2; one table, in one process."""

from __future__ import annotations

import errno
import os
import re
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
import yaml

from genrec.cli import main
from genrec.config import complaints
from genrec.config.files import load_config
from genrec.io.disk import cannot_write
from genrec.runs import plugins

from .refused import CLASSES, COMMANDS, CONFIGS, KEYS, MODULES, SEARCHES, SHORT, STUDIES

SIZES = "--data.source.init_args.users 150 --data.source.init_args.items 140"
FIT = f"fit --config {Path(__file__).with_name('setrec_t5.yaml')} {SIZES}"
CHEAP = f"test --config synthetic_popularity.yaml {SIZES}"
STUDY = "config: synthetic_popularity.yaml"

BYTES = {
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
    "date": (b"a: !!timestamp 2020-99-99", "date.yaml: not valid YAML (month must be in 1..12)"),
    "bomb": (
        b"a: &a [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (n, n, b", ".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 108)),
        "bomb.yaml: a config has fewer than 100,000 values, with all that `*` repeats",
    ),
    "twice": (b"a: 1\nb: 2\na: 3", "twice.yaml, line 3: not valid YAML (the key `a` stands here again)"),
    "tag": (b"a: !!python/object:os.system b", "tag.yaml, line 1: not valid YAML (could not determine a constructor"),
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
    # Other tests have made classes of their own, which would be listed as well.
    every, ours = complaints.all_subclasses, ("genrec", "refused_", "lightning", "torch")
    monkeypatch.setattr(
        complaints, "all_subclasses", lambda cls: (each for each in every(cls) if each.__module__.startswith(ours))
    )
    return tmp_path


def complaint(capsys: pytest.CaptureFixture[str], command: str) -> str:
    """The one line that is said."""
    with pytest.raises(SystemExit) as exit_:
        main(shlex.split(command))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("genrec: error: ")]
    assert exit_.value.code == 2
    assert not any(word in line for word in VOCABULARY)
    return line.removeprefix("genrec: error: ")


VOCABULARY = ("NestedArg", "Union", "Namespace", "jsonargparse", "class_path '", "Parser key", "<class", "Not of type")
"""Words of the parser's own."""


def check(capsys: pytest.CaptureFixture[str], command: str, said: str) -> None:
    """Whether one line is all that is said, and it has these words."""
    with pytest.raises(SystemExit) as exit_:
        main(shlex.split(command))
    (line,) = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 2
    assert not any(word in line for word in VOCABULARY), line
    words = ".*".join(map(re.escape, in_full(said).split(" ... ")))
    assert re.match(f"genrec: error: {words}", line), f"{line}\nis not\n{in_full(said)}"


def in_full(text: str) -> str:
    for word, key in SHORT.items():
        text = text.replace(word, key)
    return text.replace("HERE", str(Path.cwd())).replace("FILE", "x.yaml")


@pytest.fixture
def modules(here: Path) -> Iterator[None]:
    for name, text in MODULES.items():
        (here / f"{name}.py").write_text(text)
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("keys", KEYS)
def test_keys(keys: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(capsys, f"{FIT} --{in_full(keys)}", KEYS[keys])
    assert not list(here.rglob("*")), "nothing is left behind"


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize("keys", CLASSES)
def test_classes(keys: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(capsys, f"{FIT} --{in_full(keys)}", CLASSES[keys])


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(capsys, command, COMMANDS[command])


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize("text", CONFIGS)
def test_configs(text: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "x.yaml").write_text(text)
    check(capsys, "fit --config x.yaml", CONFIGS[text])


@pytest.mark.parametrize("text", STUDIES)
def test_studies(text: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "x.yaml").write_text(below_a_config(text))
    check(capsys, "study x.yaml --dry-run", STUDIES[text])


@pytest.mark.parametrize("text", SEARCHES)
def test_searches(text: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "x.yaml").write_text(below_a_config(text))
    check(capsys, "tune x.yaml", SEARCHES[text])
    assert not (here / "studies").exists()


def below_a_config(text: str) -> str:
    return text[1:] if text.startswith("-") else f"{STUDY}\n{text}"


@pytest.mark.parametrize("name", BYTES)
def test_configs_that_are_none(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents, said = BYTES[name]
    (here / "again.yaml").write_text("compose: [round.yaml]")
    (here / f"{name}.yaml").write_bytes(contents)
    for command in ("fit --config", "study"):
        assert said in complaint(capsys, f"{command} {name}.yaml")


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
    assert cannot_write(RuntimeError("basic_ios::clear: iostream error")), "torch, on a full disk"
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


class Distribution:
    """An installed package, as far as its entry points are asked for."""

    name = "others"

    def locate_file(self, path: str) -> str:
        return "/site-packages"


def test_a_broken_plugin_is_left_out_and_said_once(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "refused_plugin.py").write_text("raise OSError('no GPU')")
    sys.path.append(str(here))
    broken = EntryPoint("theirs", "refused_plugin:A", "genrec.identifiers")._for(Distribution())  # type: ignore[attr-defined]
    monkeypatch.setattr(plugins, "_installed", lambda *_: (*entry_points(group="genrec.identifiers"), broken))
    for _ in range(2):
        main(["fit", "--config", "synthetic_popularity.yaml", *SIZES.split()])
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "plugin" in line]
    assert line == (
        "the plugin `theirs` (refused_plugin:A) of others is left out, it cannot be imported: OSError: no GPU "
        f"({here}/refused_plugin.py, line 1)"
    )


def test_a_run_whose_class_is_elsewhere_says_where_it_was_looked_for(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "run" / "checkpoints").mkdir(parents=True)
    (here / "run" / "checkpoints" / "best.ckpt").write_text("")
    text = load_config("synthetic_setrec.yaml")
    text["model"]["init_args"]["identifier"]["class_path"] = "refused_elsewhere.Mine"
    (here / "run" / "config.yaml").write_text(yaml.safe_dump(text))
    said = complaint(capsys, "recommend --run run --history '' --trust")
    assert "there is no module `refused_elsewhere` for `refused_elsewhere.Mine`; looked for in the working" in said
    assert str(here) in said
    assert "unless you trust it" in complaint(capsys, "recommend --run run --history ''")
