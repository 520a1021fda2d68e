"""Outputs are whole or not there."""

import errno

import pytest

from assim.data.atomic import replacing


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_what_was_written_takes_its_place(tmp_path):
    with replacing(tmp_path / "a.nc") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".nc"
        temporary.write_text("new")
        assert not (tmp_path / "a.nc").exists()
    assert (tmp_path / "a.nc").read_text() == "new"
    assert names(tmp_path) == ["a.nc"]


@pytest.mark.parametrize("mishap", [RuntimeError, KeyboardInterrupt])
def test_a_mishap_leaves_the_old_file_and_nothing_else(tmp_path, mishap):
    (tmp_path / "a.nc").write_text("old")
    with pytest.raises(mishap), replacing(tmp_path / "a.nc") as temporary:
        temporary.write_text("half")
        raise mishap
    assert (tmp_path / "a.nc").read_text() == "old"
    assert names(tmp_path) == ["a.nc"]


def test_a_directory_takes_the_place_of_a_directory(tmp_path):
    make(tmp_path / "a.zarr", "store")
    with replacing(tmp_path / "a.zarr") as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("")
    assert names(tmp_path / "a.zarr") == ["new"]
    assert names(tmp_path) == ["a.zarr"]


def test_a_mishap_in_a_directory_leaves_the_old_one(tmp_path):
    make(tmp_path / "a.zarr", "store")
    with pytest.raises(RuntimeError), replacing(tmp_path / "a.zarr") as temporary:
        temporary.mkdir()
        (temporary / "half").write_text("")
        raise RuntimeError
    assert names(tmp_path / "a.zarr") == ["zarr.json"]
    assert names(tmp_path) == ["a.zarr"]


@pytest.mark.parametrize(("old", "new"), [("file", "store"), ("store", "file")])
def test_a_file_and_a_directory_take_each_other_s_place(tmp_path, old, new):
    place = tmp_path / "a"
    make(place, old)
    with replacing(place) as temporary:
        make(temporary, new)
    assert place.is_dir() == (new == "store")
    assert names(tmp_path) == ["a"]


def make(path, kind):
    if kind == "file":
        path.write_text("text")
    else:
        path.mkdir()
        (path / "zarr.json").write_text("{}")


def test_no_such_directory(tmp_path):
    with (
        pytest.raises(OSError, match="does not exist: make it"),
        replacing(tmp_path / "b" / "a.nc"),
    ):
        pass


def test_no_permission(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(OSError, match="no permission to write"), replacing(tmp_path / "a.nc"):
        pass


def test_no_room(tmp_path):
    with pytest.raises(OSError, match="no room left"), replacing(tmp_path / "a.nc") as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names(tmp_path) == []


@pytest.mark.parametrize("inside", [None, "", "/c/0"])
def test_a_fault_of_the_system_names_the_place(tmp_path, inside):
    """Not the temporary one, and not none."""
    place = tmp_path / "a.nc"
    with pytest.raises(OSError, match="odd") as caught, replacing(place) as temporary:
        raise OSError(errno.EFBIG, "odd", *([] if inside is None else [f"{temporary}{inside}"]))
    assert (caught.value.filename, caught.value.errno) == (str(place), errno.EFBIG)


def test_a_fault_elsewhere_is_told_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="none") as caught, replacing(tmp_path / "a.nc"):
        open(tmp_path / "none.nc")
    assert str(caught.value.filename) == str(tmp_path / "none.nc")
    with pytest.raises(OSError, match=r"^a sentence\.$"), replacing(tmp_path / "a.nc"):
        raise OSError("a sentence.")


def test_a_directory_of_the_user_s_is_not_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").write_text("")
    with pytest.raises(OSError, match="not a Zarr store: remove it"), replacing(tmp_path / "a"):
        pass
    assert names(tmp_path / "a") == ["thesis.tex"]


def test_a_store_that_cannot_be_replaced_is_put_back(tmp_path):
    make(tmp_path / "a", "store")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a"):
        pass  # nothing written
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["zarr.json"]
