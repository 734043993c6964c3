"""One file of a log, from wherever the data set lies."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZipFile

import pytest

from bandit_pipeline.errors import PipelineError
from bandit_pipeline.obd.source import opened


def read(source: str | Path) -> bytes:
    with opened(str(source), "men", "bts", "men.csv") as stream:
        return stream.read()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data set as a folder, and beside it as data.zip."""
    file = tmp_path / "set" / "bts" / "men" / "men.csv"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"rounds")
    with ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.write(file, "open_bandit_dataset/bts/men/men.csv")
    return tmp_path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_without_a_source_it_is_the_sample() -> None:
    assert read("").count(b"\n") == 10_001


def test_a_folder_a_zip_file_and_its_url_give_the_same(folder: Path, url: str) -> None:
    assert read(folder / "set") == read(folder / "data.zip") == read(f"{url}/data.zip") == b"rounds"


def test_paths_as_people_write_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    (folder / "data.zip").rename(folder / "DATA.ZIP")
    for source in ("~/set", "~/DATA.ZIP", f" {folder}/set ", f"file://{folder}/set", f"FILE://{folder}/DATA.ZIP"):
        assert read(source) == b"rounds"


def test_secrets_of_a_url_are_not_shown(url: str) -> None:
    address = url.removeprefix("http://")
    for source in (f"http://user:pass@{address}/no.zip?key=abc", f"http://user:pass@{address}:x/data.zip?key=abc"):
        with pytest.raises(PipelineError) as refused:
            read(source)
        assert "pass" not in str(refused.value)
        assert "abc" not in str(refused.value)


def test_what_is_not_there_is_named(folder: Path, url: str) -> None:
    (folder / "broken.zip").write_bytes(b"PK no archive")
    (folder / "men.csv").write_bytes(b"rounds")
    (folder / "empty").mkdir()
    for source, said in {
        str(folder / "nowhere"): "there is no file .*nowhere; see BANDIT_OBD_SOURCE",
        str(folder / "empty"): r"empty holds 0 files bts/men/men\.csv",
        str(folder / "men.csv"): r"men\.csv is neither a folder nor a zip file",
        "s3://bucket/data.zip": r"s3://bucket/data\.zip is no folder, zip file or http URL",
        "http://[::1/data.zip": "the URL is no URL",
        str(folder / "nothing.zip"): r"there is no file .*nothing\.zip",
        str(folder / "broken.zip"): r"broken\.zip is not a whole zip file",
        f"{url}/missing.zip": r"missing\.zip cannot be downloaded .*404",
        "http://127.0.0.1:1/data.zip": r"data\.zip cannot be downloaded",
    }.items():
        with pytest.raises(PipelineError, match=said):
            read(source)
