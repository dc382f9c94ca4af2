from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genrec.data import download
from genrec.data.download import RemoteFile, extract, fetch
from genrec.errors import GenrecError

from .server import FileServer, running

CONTENT = np.random.default_rng(0).bytes(3 * 2**20 + 17)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(download, "BACKOFF", 0)
    with running(FileServer()) as server:
        server.files["log.json.gz"] = CONTENT
        yield server


def remote(server: FileServer, **known: object) -> RemoteFile:
    return RemoteFile(f"{server.url}/log.json.gz", **known)  # type: ignore[arg-type]


def test_a_file_is_fetched_once_and_its_hash_recorded(server: FileServer, tmp_path: Path) -> None:
    path = fetch(remote(server), tmp_path / "raw")
    assert path.read_bytes() == CONTENT
    assert fetch(remote(server), tmp_path / "raw") == path
    assert len(server.requests) == 1
    recorded = json.loads((tmp_path / "raw" / "checksums.json").read_text())["log.json.gz"]
    assert recorded["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert recorded["bytes"] == len(CONTENT)
    left = {each.name for each in path.parent.iterdir()} - {"log.json.gz", "checksums.json", ".log.json.gz.lock"}
    assert not left


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_connections_are_taken_up_again(server: FileServer, tmp_path: Path, ranges: bool) -> None:
    server.cuts, server.ranges = 2, ranges
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 3
    twice = server.sent - len(CONTENT)
    assert (twice <= 2 * download.CHUNK) == ranges, "where parts can be asked for, at most a chunk is sent twice"


def test_a_process_that_died_is_taken_up_again(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / ".log.json.gz.part").write_bytes(CONTENT[:1000])
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.requests == [("log.json.gz", "bytes=1000-")]


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / ".log.json.gz.part").write_bytes(b"old" * 100)
    (tmp_path / ".log.json.gz.part.etag").write_text('"of the old one"')
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / ".log.json.gz.part").write_bytes(CONTENT + b"more")
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT


def test_a_busy_server_is_asked_again_and_a_firm_no_is_not(server: FileServer, tmp_path: Path) -> None:
    server.errors = [503, 429, 500]
    assert len(server.errors) < download.ATTEMPTS
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    server.requests.clear()
    with pytest.raises(GenrecError, match=r"404 .*`mirror`"):
        fetch(RemoteFile(f"{server.url}/nothing.gz"), tmp_path)
    assert len(server.requests) == 1


def test_a_server_that_never_recovers_is_given_up_and_the_part_kept(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / ".log.json.gz.part").write_bytes(CONTENT[:1000])
    server.errors = [503] * download.ATTEMPTS
    with pytest.raises(GenrecError, match="cannot download"):
        fetch(remote(server), tmp_path)
    assert not (tmp_path / "log.json.gz").exists()
    assert (tmp_path / ".log.json.gz.part").stat().st_size == 1000
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT


def test_no_server_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "BACKOFF", 0)
    with pytest.raises(GenrecError, match="ConnectionError"):
        fetch(RemoteFile("http://127.0.0.1:9/log.gz"), tmp_path)


@pytest.mark.parametrize("known", [{"sha256": "0" * 64}, {"bytes": 5}])
def test_another_content_than_expected_is_refused(server: FileServer, tmp_path: Path, known: dict[str, object]) -> None:
    with pytest.raises(GenrecError, match="not the file that it should be"):
        fetch(remote(server, **known), tmp_path)
    assert not (tmp_path / "log.json.gz").exists()
    assert not (tmp_path / ".log.json.gz.part").exists()


def test_a_file_that_was_tampered_with_is_refused(server: FileServer, tmp_path: Path) -> None:
    path = fetch(remote(server), tmp_path)
    path.write_bytes(CONTENT[:100])
    with pytest.raises(GenrecError, match="delete it"):
        fetch(remote(server), tmp_path)


def test_another_content_than_the_first_time_is_refused(server: FileServer, tmp_path: Path) -> None:
    fetch(remote(server), tmp_path).unlink()
    server.files["log.json.gz"] = CONTENT[::-1]
    with pytest.raises(GenrecError, match=r"checksums.json if it may change"):
        fetch(remote(server), tmp_path)


def test_a_mirror_is_asked_instead(server: FileServer, tmp_path: Path) -> None:
    file = RemoteFile("http://127.0.0.1:9/far/away/log.json.gz")
    assert fetch(file, tmp_path, mirror=server.url + "/").read_bytes() == CONTENT


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../escaped.txt", "boo")
        archive.writestr("good/data.txt", "fine")
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    assert extract(tmp_path / "evil.zip", "good/data.txt", inside).read_text() == "fine"
    assert extract(tmp_path / "evil.zip", "../../escaped.txt", inside) == inside / "escaped.txt"
    assert not (tmp_path / "escaped.txt").exists()


def test_a_broken_archive(tmp_path: Path) -> None:
    (tmp_path / "half.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(GenrecError, match=r"half\.zip"):
        extract(tmp_path / "half.zip", "x", tmp_path)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("y", "")
    with pytest.raises(GenrecError, match="no member `x`"):
        extract(tmp_path / "other.zip", "x", tmp_path)
