"""Text is UTF-8 whatever the locale: in every call that opens a file, and through the stages under another locale."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from reslab.config.yaml import read_yaml

MODE = re.compile(r"[rwax]b?\+?[bt]?")
NO_TEXT = {"tarfile", "Image", "webbrowser", "gzip", "archive", "packed", "os"}  # whose open() gives no text


def leaves_encoding_to_the_locale(call: ast.Call) -> bool:
    """Whether a call opens a file as text and does not say in which encoding."""
    name = getattr(call.func, "attr", None) or getattr(call.func, "id", "")
    owner = getattr(getattr(call.func, "value", None), "id", None)
    if any(keyword.arg == "encoding" for keyword in call.keywords) or (name == "open" and owner in NO_TEXT):
        return False
    given = [
        value.value for value in (*call.args, *(keyword.value for keyword in call.keywords)) if isinstance(value, ast.Constant)
    ]
    modes = [value for value in given if isinstance(value, str) and MODE.fullmatch(value)]
    is_method = isinstance(call.func, ast.Attribute)  # a function of this name is ours, and reads UTF-8
    return (is_method and name in ("read_text", "write_text")) or (
        name in ("open", "fdopen") and not any("b" in mode for mode in modes)
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("p.read_text()", True),
        ("(a / b).write_text(x)", True),
        ("p.open()", True),
        ('p.open("w", newline="")', True),
        ("open(p)", True),
        ('p.open("rb")', False),
        ('os.fdopen(d, "rb")', False),
        ('p.read_text(encoding="utf-8")', False),
        ("read_text(p)", False),
        ('tarfile.open(p, "r:")', False),
    ],
)
def test_such_calls_are_found(code, expected):
    assert leaves_encoding_to_the_locale(ast.parse(code).body[0].value) == expected


def test_every_text_file_is_opened_with_its_encoding(repository):
    found = []
    for path in (path for folder in ("src", "stages") for path in sorted((repository / folder).rglob("*.py"))):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        found += [f"{path.name}:{call.lineno}: {ast.unparse(call)}" for call in calls if leaves_encoding_to_the_locale(call)]
    assert not found


def test_the_stages_read_and_write_the_same_under_another_locale(repository, tmp_path):
    """Names of classes, a title and what is printed hold letters that the locale has not."""
    if shutil.which("localedef") is None:
        pytest.skip("no localedef, so no other locale")
    made = subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / "en_US.ISO-8859-1")], capture_output=True, check=False
    )
    if not (tmp_path / "en_US.ISO-8859-1").is_dir():
        pytest.skip(f"localedef makes no locale here: {made.stderr[:100]}")
    for name in ("train/猫 – é", "train/dog", "test/猫 – é", "test/dog"):
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/images/" + name.encode()))
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8), (len(name), 0, 0)).save(folder / "1.png")
        (folder / "notes.txt").write_bytes(b"left out, and named in what fetch prints")
    params = read_yaml(repository / "params.yaml")
    params["dataset"] = {"name": "image_folder", "source": str(tmp_path / "images"), "image_size": 8}
    (tmp_path / "params.yaml").write_text(f"# 猫\n{json.dumps(params)}", encoding="utf-8")
    said = {}
    for locale in ("C.UTF-8", "en_US.ISO-8859-1"):
        place, environment = tmp_path / locale, os.environ | {"LOCPATH": str(tmp_path), "LC_ALL": locale, "PYTHONUTF8": "0"}
        place.mkdir(exist_ok=True)
        for stage in (["fetch.py", str(place / "raw")], ["preprocess.py", str(place / "raw"), str(place / "prepared")]):
            command = [sys.executable, str(repository / "stages" / stage[0]), *stage[1:], "--params", str(tmp_path / "params.yaml")]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr
            said[locale, stage[0]] = done.stdout
    for name in ("raw/images.tar", "raw/found.json", "prepared/dataset.json", "prepared/train_labels.npy"):
        assert (tmp_path / "C.UTF-8" / name).read_bytes() == (tmp_path / "en_US.ISO-8859-1" / name).read_bytes()
    assert "猫".encode() in said["C.UTF-8", "fetch.py"] and rb"\u732b" in said["en_US.ISO-8859-1", "fetch.py"]
