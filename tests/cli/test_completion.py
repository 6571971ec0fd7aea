"""What the shells offer after a TAB: names of whatever an argument may be."""

import shutil

import pytest
from project import SMALL_PARAMS, call, commit


@pytest.fixture
def folder(tmp_path, repository):
    """A git repository with studies, machines, kept results, a small params.yaml, a branch and an experiment of DVC."""
    for name in ("studies", "machines", "results"):
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS)
    call(tmp_path, "git", "init", "--quiet", "--initial-branch=main")
    commit(tmp_path, "start")
    head = call(tmp_path, "git", "rev-parse", "HEAD").stdout.strip()
    call(tmp_path, "git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/tau136", "HEAD")
    return tmp_path


def completions(folder, words: str) -> list[str]:
    """What bash offers at the end of a command line."""
    environment = {"_RESLAB_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = call(folder, "env", *(f"{key}={value}" for key, value in environment.items()), "reslab")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("reslab show wilber-b", ["wilber-blocks", "wilber-bn-momentum"]),
        ("reslab select he2015", ["he2015-cifar10", "he2015-imagenet"]),
        ("reslab select he2015-cifar10 --rows resnet0020,plain002", ["resnet0020,plain0020"]),
        ("reslab select nothing --rows plain", []),
        ("reslab schedule p", ["plain-tau"]),
        ("reslab estimate --machine nvidia-h", ["nvidia-h200-predicted"]),
        ("reslab estimate --link n", ["nvlink"]),
        ("reslab models shake", ["shake_shake", "shakedrop_pyramidnet"]),
        ("reslab verify tau", ["tau-theory-digits"]),
        ("reslab refresh tau", ["tau-theory-digits"]),
        ("reslab compare ma", ["main"]),
        ("reslab compare main ta", ["tau136"]),
        ("reslab compare results/t", ["results/tau-theory-digits"]),
        ("reslab options train.e", ["train.evaluation"]),
        ("reslab import-weights x.pt plain-tau --key-map resnets", ["resnets-cifar10"]),
    ],
)
def test_bash_completes_names(folder, words, offered):
    assert completions(folder, words) == offered


def test_what_is_broken_has_no_names(folder):
    (folder / "params.yaml").write_text("broken: [")
    assert completions(folder, "reslab schedule p") == []
    shutil.rmtree(folder / ".git")
    assert completions(folder, "reslab compare main") == []


def test_the_families_are_those_that_the_source_names(repository):
    from reslab.cli.options import model_names
    from reslab.models import MODELS

    assert model_names("") == list(MODELS)


ZSH = """_arguments '*: :(("tau136"))'"""


@pytest.mark.parametrize(("shell", "printed"), [("zsh", ZSH), ("fish", "tau136")])
def test_zsh_and_fish_get_the_same_names(folder, shell, printed):
    given = {"_RESLAB_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    given |= {"_TYPER_COMPLETE_ARGS": "reslab compare ta"}
    assert call(folder, "env", *(f"{key}={value}" for key, value in given.items()), "reslab").stdout == f"{printed}\n"
