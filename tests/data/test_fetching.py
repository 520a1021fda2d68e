"""Datasets that are fetched: from a server on this machine, never from the network."""

import hashlib
import re
import socket
import threading
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import xarray as xr

import assim
from assim.data import fetching
from assim.data.fetching import REMOTE, Remote, cache_folder, fetched


class Counting(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing of it."""

    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        SimpleHTTPRequestHandler.do_GET(self)

    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A small field on a local server under the name `field`, and an empty cache."""
    pytest.importorskip("pooch")
    times = np.datetime64("2010-01-01", "ns") + np.arange(3) * np.timedelta64(30, "D")
    values = np.arange(60.0).reshape(3, 4, 5)
    coords = {"time": times, "lat": np.arange(4.0), "lon": np.arange(5.0)}
    folder = tmp_path / "served"
    folder.mkdir()
    ds = xr.Dataset({"sst": (("time", "lat", "lon"), values, {"units": "degC"})}, coords=coords)
    ds.to_netcdf(folder / "field.nc", engine="h5netcdf")
    monkeypatch.setenv("ASSIM_CACHE", str(tmp_path / "cache"))
    Counting.asked = []
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *args: Counting(*args, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    sha256 = hashlib.sha256((folder / "field.nc").read_bytes()).hexdigest()
    url = f"http://127.0.0.1:{server.server_port}/field.nc"
    monkeypatch.setitem(REMOTE, "field", Remote(url, sha256, "public domain", "a small field"))
    yield ds
    server.shutdown()
    server.server_close()
    thread.join()


def change(monkeypatch, **changes):
    monkeypatch.setitem(REMOTE, "field", replace(REMOTE["field"], **changes))


def test_a_remote_dataset_is_fetched_once_and_opened_as_any_other(served):
    assert "a small field; fetched" in assim.list_datasets()["field"]
    for _ in range(2):
        ds = assim.load_dataset("field")
        np.testing.assert_array_equal(ds["sst"], served["sst"])
        assert ds["time"].dtype == "datetime64[ns]" and ds["sst"].attrs["units"] == "degC"
    assert Counting.asked == ["/field.nc"]
    assert [p.name for p in cache_folder().iterdir()] == ["field.nc"]


def test_another_file_than_the_one_meant_is_refused_and_not_kept(served, monkeypatch):
    change(monkeypatch, sha256="0" * 64)
    with pytest.raises(ValueError, match="is not the file that 'field' stands for"):
        assim.load_dataset("field")
    assert not (cache_folder() / "field.nc").exists()


def test_a_file_that_was_spoilt_in_the_cache_is_refused(served):
    assim.load_dataset("field")
    path = cache_folder() / "field.nc"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="delete it, so that it is fetched again"):
        assim.load_dataset("field")


def test_a_file_that_grows_is_taken_as_it_comes(served, monkeypatch):
    change(monkeypatch, sha256=None)
    np.testing.assert_array_equal(assim.load_dataset("field")["sst"], served["sst"])


def test_a_name_that_the_server_does_not_know_ends_in_a_sentence(served, monkeypatch):
    change(monkeypatch, url=REMOTE["field"].url.replace("field.nc", "gone.nc"))
    with pytest.raises(ConnectionError, match=r"could not be fetched .*gone.nc \(HTTPError\)"):
        assim.load_dataset("field")


def test_offline_ends_in_a_sentence_that_says_what_to_do(served, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    change(monkeypatch, url=f"http://127.0.0.1:{port}/field.nc")
    with pytest.raises(ConnectionError, match="check the connection and try again, or .* put it"):
        assim.load_dataset("field")
    assert not (cache_folder() / "field.nc").exists()


def test_without_the_extra_the_install_line_is_given(served, monkeypatch):
    monkeypatch.setattr(fetching, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=re.escape("pip install 'assim[fetch]'")):
        assim.load_dataset("field")


def test_a_file_put_into_the_cache_needs_neither_network_nor_extra(
    shared_data, tmp_path, monkeypatch
):
    monkeypatch.setenv("ASSIM_CACHE", str(tmp_path))
    monkeypatch.setattr(fetching, "find_spec", lambda name: None)
    there = shared_data / "gridded" / "ersstv5.sst.mnmean.2010-2020.nc"
    (tmp_path / "ersst_v5.nc").write_bytes(there.read_bytes())
    ds = assim.load_dataset("ersst_v5")
    assert dict(ds.sizes) == {"time": 128, "lat": 89, "lon": 180}
    assert 0.3 < float(ds["sst"].isnull().mean()) < 0.32


def test_each_entry_names_a_pinned_file_a_sum_and_a_licence():
    for name, remote in REMOTE.items():
        assert remote.url.startswith("https://") and remote.licence and remote.about, name
        assert remote.sha256 is None or re.fullmatch("[0-9a-f]{64}", remote.sha256), name


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.delenv("ASSIM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "assim"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder().parts[-2:] == (".cache", "assim")
    monkeypatch.setenv("ASSIM_CACHE", "elsewhere")
    assert str(cache_folder()) == "elsewhere"
    assert fetched.__doc__
