"""The worked examples of docs/extending.md, done as they stand there in a fresh clone."""

import pytest
from project import clone
from worked_examples import blocks, follow

PAGE = """\
# A page

```python
# new/module.py
VALUE = 1
```

```diff
# old.txt
 first
-second
+2nd
+third
 fourth
```

```sh
test "$(PYTHONPATH=. python -c 'import new.module; print(new.module.VALUE)')" = 1
echo done > said.txt
```

```yaml
not: a file
```
"""


def test_blocks_are_written_applied_and_run(tmp_path):
    (tmp_path / "old.txt").write_text("zeroth\nfirst\nsecond\nfourth\n")
    assert [(block.language, block.path) for block in blocks(PAGE)] == [
        ("python", "new/module.py"),
        ("diff", "old.txt"),
        ("sh", None),
        ("yaml", None),
    ]
    assert len(follow(PAGE, tmp_path)) == 2
    assert (tmp_path / "old.txt").read_text() == "zeroth\nfirst\n2nd\nthird\nfourth\n"
    assert (tmp_path / "said.txt").read_text() == "done\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("first\n", "another\n", "stand there 0 times"), ("zeroth\n", "first\nsecond\nfourth\n", "stand there 2 times")],
)
def test_a_change_that_does_not_fit_fails(tmp_path, old, new, message):
    (tmp_path / "old.txt").write_text("zeroth\nfirst\nsecond\nfourth\n".replace(old, new))
    with pytest.raises(AssertionError, match=message):
        follow(PAGE, tmp_path)


def test_a_command_that_fails_fails_the_page(tmp_path):
    with pytest.raises(AssertionError, match="no such command"):
        follow("```sh\necho no such command; false\necho not reached\n```\n", tmp_path)


@pytest.mark.pipeline
@pytest.mark.slow
def test_the_worked_examples_of_the_documentation_run(repository, tmp_path):
    """A family, a dataset, an augmentation, a study that uses them, a key map."""
    page = (repository / "docs" / "extending.md").read_text()
    folder = clone(tmp_path / "reslab")
    commands = follow(page, folder)
    assert {command.split("#")[0].strip() for command in commands} >= {"reslab check", "dvc repro"}
    for name in ("models", "data/datasets", "data/augment"):
        added = {block.path for block in blocks(page) if block.language == "python" and f"src/reslab/{name}/" in str(block.path)}
        assert added, name
