"""One register for all that is found by its name: read once, refusing with the nearest name."""

import importlib
import pickle
import sys
import threading
from pathlib import Path

import pytest

from wflow.errors import InputError
from wflow.tools import register as register_module
from wflow.tools.register import Register

MODULE = """
from shelf import THINGS
@THINGS.enter
class {title}:
    name = "{name}"
"""


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Register[type]:
    """A package `shelf` of two files, with a folder inside it that is not looked at."""
    folder = tmp_path / "shelf"
    (folder / "inside").mkdir(parents=True)
    (folder / "__init__.py").write_text(
        "from wflow.tools.register import Register\nTHINGS = Register('thing', 'shelf')\n"
    )
    for name in ("one", "two"):
        (folder / f"{name}.py").write_text(MODULE.format(title=name.title(), name=name))
    (folder / "inside" / "__init__.py").write_text("")
    (folder / "inside" / "three.py").write_text(MODULE.format(title="Three", name="three"))
    monkeypatch.syspath_prepend(tmp_path)
    for name in [m for m in sys.modules if m.split(".")[0] == "shelf"]:
        monkeypatch.delitem(sys.modules, name)
    things: Register[type] = importlib.import_module("shelf").THINGS
    return things


def test_files_are_found_and_folders_inside_are_not(shelf: Register[type]) -> None:
    assert list(shelf) == ["one", "two"]
    assert shelf["one"].__name__ == "One"
    assert "three" not in shelf
    assert shelf.get("three") is None


def test_the_folder_is_read_once(shelf: Register[type], monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    really = register_module.pkgutil.iter_modules
    monkeypatch.setattr(
        register_module.pkgutil, "iter_modules", lambda path: looked.append(path) or really(path)
    )
    for _ in range(3):
        assert shelf["two"].__name__ == "Two"
        assert len(shelf) == 2
    assert len(looked) == 1


def test_threads_that_ask_together_all_see_everything(shelf: Register[type]) -> None:
    seen: list[list[str]] = []
    threads = [threading.Thread(target=lambda: seen.append(list(shelf))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [["one", "two"]] * 8


def test_a_file_that_fails_is_tried_again(shelf: Register[type], tmp_path: Path) -> None:
    broken = tmp_path / "shelf" / "three.py"
    broken.write_text("raise RuntimeError('not yet')\n")
    with pytest.raises(RuntimeError, match="not yet"):
        list(shelf)
    broken.unlink()
    importlib.invalidate_caches()
    assert list(shelf) == ["one", "two"]


def test_an_unknown_name_is_refused_with_the_nearest_and_the_remedy() -> None:
    colours: Register[type] = Register("colour", remedy="See the chart.")
    colours.enter(type("Red", (), {"name": "red"}))
    with pytest.raises(InputError) as refused:
        colours["rad"]
    line = "unknown colour 'rad': did you mean 'red'? Known: red. See the chart."
    assert str(refused.value) == line
    assert isinstance(refused.value, KeyError)
    assert str(pickle.loads(pickle.dumps(refused.value))) == line  # noqa: S301


def test_two_things_of_one_name_are_refused() -> None:
    colours: Register[type] = Register("colour")
    red = colours.enter(type("Red", (), {"name": "red"}))
    colours.enter(red)
    with pytest.raises(InputError, match="two colours are called 'red': rename one"):
        colours.enter(type("Rouge", (), {"name": "red"}))
