"""The wheel holds the whole package and its command; the pins resolve what pyproject asks for."""

import re
import sys
import tomllib
import zipfile
from importlib.metadata import metadata, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from project import call, clone


def test_the_wheel_is_whole(tmp_path):
    folder = clone(tmp_path / "reslab")
    call(folder, sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), ".")
    (wheel,) = tmp_path.glob("reslab-*.whl")
    call(folder, sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(tmp_path / "site"), str(wheel))
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    assert packed == {str(path.relative_to(folder / "src")) for path in (folder / "src").rglob("*.py")}
    assert {f"reslab/report/html/page.{kind}" for kind in ("css", "jinja", "js")} <= set(zipfile.ZipFile(wheel).namelist())
    script = "import sys; sys.path.insert(0, 'site'); import reslab.cli, reslab; print(reslab.__file__); reslab.cli.app(['--help'])"
    printed = call(tmp_path, sys.executable, "-c", script).stdout
    assert str(tmp_path / "site") in printed
    assert "select" in printed


def test_constraints_pin_every_dependency_as_installed(repository):
    pins = dict(line.split("==") for line in (repository / "constraints.txt").read_text().splitlines())
    pins = {canonicalize_name(name): number for name, number in pins.items()}
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"] + [*project["optional-dependencies"]["dev"], *project["optional-dependencies"]["docs"]]:
        requirement = Requirement(text)
        pinned = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pinned), requirement
    assert version("dvc") == pins["dvc"]


def test_every_pin_installs_on_the_oldest_python(repository):
    """The oldest that pyproject allows: Debian 12's python3 is 3.11.2, and pip calls a package for a newer one a conflict."""
    pins = [line.split("==")[0] for line in (repository / "constraints.txt").read_text().splitlines()]
    allowed = {name: metadata(name).get("Requires-Python", "") for name in pins}
    assert len(allowed) > 100
    assert [name for name, versions in allowed.items() if "3.11.0" not in SpecifierSet(versions)] == []


def test_every_pin_has_checksums(repository):
    """What `pip install --require-hashes` takes is what the constraints pin, and what builds the package."""
    pattern = r"^(\S+)==(\S+)[^\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)"
    blocks = re.findall(pattern, (repository / "requirements.txt").read_text(), re.MULTILINE)
    locked = {canonicalize_name(name): number for name, number, _ in blocks}
    pins = dict(line.split("==") for line in (repository / "constraints.txt").read_text().splitlines())
    assert {canonicalize_name(name): number for name, number in pins.items()}.items() <= locked.items()
    assert "setuptools" in locked
