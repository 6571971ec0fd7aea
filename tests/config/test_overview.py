"""The list of studies is read once for each state of their files."""

import os

import pytest

from reslab import config
from reslab.config import library, overview
from reslab.errors import UserError

NAMES = ["wilber-gamma", "digits-tau"]


@pytest.fixture
def folder(tmp_path, repository, monkeypatch):
    """A few studies, and a cache of their own."""
    for name in [*NAMES, library.DEFAULTS]:
        (tmp_path / f"{name}.yaml").write_bytes((repository / "studies" / f"{name}.yaml").read_bytes())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_what_was_read_is_not_read_again_until_it_changes(folder, monkeypatch):
    first = overview.of(NAMES, folder)
    study = config.parse(library.compose("digits-tau", folder))
    assert first["digits-tau"] == (len(study.experiments), len(study.report.published), study.report.title)
    read = []
    compose = library.compose
    monkeypatch.setattr(library, "compose", lambda name, folder: read.append(name) or compose(name, folder))
    assert overview.of(NAMES, folder) == first
    assert read == []
    path = folder / "wilber-gamma.yaml"
    path.write_text(path.read_text().replace("title:", "title: Another,", 1))
    changed = overview.of(NAMES, folder)
    assert read == ["wilber-gamma"]
    assert changed["wilber-gamma"].title.startswith("Another,")
    path.write_text("experiments: [")
    with pytest.raises(UserError, match="wilber-gamma"):
        overview.of(NAMES, folder)


@pytest.mark.parametrize("name", ["wilber-gamma", library.DEFAULTS])
@pytest.mark.parametrize(("put", "message"), [(os.mkfifo, "not a file"), (lambda path: os.truncate(path, 2**40), "too many")])
def test_a_study_that_cannot_be_read_is_neither_waited_for_nor_taken_into_memory(folder, name, put, message):
    path = folder / f"{name}.yaml"
    path.unlink()
    if put is not os.mkfifo:
        path.touch()
    put(path)
    with pytest.raises(UserError, match=f"{name}.yaml: .*{message}"):
        overview.of(NAMES, folder)
    assert library.title(name, folder) == ""  # the shell that completes a name
