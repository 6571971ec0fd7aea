"""Modules of plugins/ that other ones there import: what is hashed is what runs."""

import pytest
from own_plugins import plugin_writer

from reslab.config import plugins
from reslab.errors import UserError


@pytest.fixture
def write(tmp_path, monkeypatch):
    return plugin_writer(tmp_path, monkeypatch)


@pytest.mark.parametrize("source", ["import {}", "from {} import f", "def late():\n    from {}.part import f"])
@pytest.mark.parametrize("taken", ["json", "of_a_stage"])
def test_a_helper_that_another_module_would_stand_in_for_is_refused(write, tmp_path, source, taken):
    """Its identity would be that of plugins/json.py, and what runs would be Python's."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "of_a_stage.py").touch()
    (tmp_path / "plugins" / f"{taken}.py").write_text("f = None")
    name = write(source.format(taken) + "\ndef net(): ...")
    with pytest.raises(
        UserError, match=rf"^model.name: plugins/{taken}.py has the name of another module \(.*{taken}.*; rename it"
    ):
        plugins.function(f"{name}:net", "model")


def test_a_helper_of_ones_own_is_found(write):
    name = write(f"from {write('width = 5')} import width\ndef net(): ...")
    assert plugins.function(f"{name}:net", "model").__name__ == "net"
