"""One's own code in params.yaml: found in plugins/ or a package, checked by its signature, and every fault said on one line."""

import pytest
import torch
from facts import random_images
from own_plugins import plugin_writer
from project import SMALL_PARAMS
from torch import nn

from reslab import config
from reslab.config import plugins
from reslab.errors import UserError, in_plugins
from reslab.experiment.bound import bound
from reslab.experiment.check import checked
from reslab.experiment.description import description
from reslab.experiment.networks import build_network, build_stored_network
from reslab.runs.identity import behaviour
from reslab.runs.processes import _call

FACTS = {"image_shape": [1, 8, 8], "class_names": [str(number) for number in range(10)], "train": 100, "validation": 0, "test": 20}
FACTS |= {"mean": [0.5], "std": [0.2]}
NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, channels: int, classes: int, *, width: int = 4) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(channels, width, 3), nn.Linear(width, classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    return plugin_writer(tmp_path, monkeypatch)


def experiment(**changes) -> config.Experiment:
    found = config.parse_yaml(SMALL_PARAMS)
    sections = {key: found[key] for key in config.SECTIONS} | {"optimizer": {"name": "sgd", "lr": 0.1}} | changes
    return config.from_sections("it", sections)


def test_a_network_of_ones_own_is_built_with_its_options(write):
    name = write(NET)
    network = build_network({"name": f"{name}:Net", "width": 6}, FACTS, seed=0)
    assert network.conv.out_channels == 6
    again = build_network({"name": f"{name}:Net", "width": 6}, FACTS, seed=0)
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), again.parameters(), strict=True))
    checked(experiment(model={"name": f"{name}:Net"}), FACTS)


@pytest.mark.parametrize(
    ("source", "name", "options", "said"),
    [
        (NET, "Nett", {}, "model.name: unknown function of {} 'Nett' (did you mean 'Net'?); allowed: Net"),
        (NET, "Net", {"widht": 3}, "model: unknown key 'widht' (did you mean 'width'?); allowed: width"),
        (NET, "Net", {"width": "x"}, "model.width: 'x' is not allowed: should be a valid integer"),
        (NET, "nn", {}, "model.name: {}:nn is a module, not a function or a class"),
        ("def f(:", "f", {}, "model.name: plugins/{0}.py cannot be imported: plugins/{0}.py, line 1: SyntaxError"),
        ("import no_such_thing", "f", {}, "cannot be imported: plugins/{}.py, line 1: ModuleNotFoundError: No module named"),
        ("exit(3)", "f", {}, "cannot be imported: plugins/{}.py, line 1: SystemExit: 3"),
        ("def f(channels): ...", "f", {}, "{}:f must take (in_channels, num_classes, *, options), but takes (channels)"),
        ("def f(a, b): return 3", "f", {}, "model: {}:f must return a torch.nn.Module with parameters, not a int"),
        ("def f(a, b):\n    return {}['x']", "f", {}, "model: {0}:f failed: plugins/{0}.py, line 2: KeyError: 'x'"),
        ("def f(a, b, *, c: object()): ...", "f", {}, "model.name: the options of {}:f cannot be checked"),
        (
            "from torch import nn\ndef f(a, b): return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))",
            "f",
            {},
            "model: {}:f must return logits of shape (images, classes), here [2, 10], not [2, 3]",
        ),
        (NET.replace("self.fc(self", "self.fd(self"), "Net", {}, "model: {0}:Net failed: plugins/{0}.py, line 10: AttributeError"),
    ],
)
def test_faults_of_a_network_are_one_line(write, source, name, options, said):
    module = write(source)
    with pytest.raises(UserError) as raised:
        checked(experiment(model={"name": f"{module}:{name}"} | options), FACTS)
    assert said.format(module) in str(raised.value).replace("{}", "")
    assert len(str(raised.value).splitlines()) == 1


def test_names_of_no_module(write):
    near = write(NET)
    for name, said in [
        (f"{near}x:Net", f"unknown module '{near}x' (did you mean '{near}'?)"),
        ("a b:c", "'a b:c' is not allowed: write module:function"),
        ("json:loads", r"must take (in_channels, num_classes, *, options)"),
        ("no_such_package.part:f", "neither plugins/no_such_package/part.py nor an installed package"),
        ("timm:no_such_net", "timm"),
        ("torchvision:raft_large", "unknown network of torchvision 'raft_large'"),
    ]:
        with pytest.raises(UserError) as raised:
            bound(experiment(model={"name": name}))
        assert said in str(raised.value)


def test_a_plugin_takes_no_other_modules_name(write, tmp_path):
    (tmp_path / "plugins" / "fractions.py").write_text(NET)
    with pytest.raises(UserError, match=r"plugins/fractions.py has the name of another module \(.*fractions.py\); rename it"):
        bound(experiment(model={"name": "fractions:Net"}))


def test_code_that_reads_numbers_while_it_is_built(write):
    name = write(
        "import torch\nfrom torch import nn\n"
        "def f(a, b, *, n: int = 3):\n    torch.linspace(0, 1, n).tolist()\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, b))"
    )
    checked(experiment(model={"name": f"{name}:f"}), FACTS)


def test_the_code_is_part_of_the_identity_without_its_comments(write, tmp_path):
    helper = write("WIDTH = 3\n")
    name = write(f"import {helper}\n" + NET)
    other = write("UNUSED = 1\n")

    def code() -> str:
        return behaviour(plugins.sources(f"{name}:Net", "name"))

    before, folder = code(), tmp_path / "plugins"
    (folder / f"{name}.py").write_text(f'"""What it is."""\nimport {helper}  # for its width\n' + NET)
    (folder / f"{other}.py").write_text("UNUSED = 2\n")
    assert code() == before
    (folder / f"{helper}.py").write_text("WIDTH = 4\n")
    assert code() != before
    described = description(experiment(model={"name": f"{name}:Net"}), random_images("digits", count=40))
    assert described["plugins"] == {f"{name}:Net": code()}
    assert not {"plugins", "init_from"} & description(experiment(), random_images("digits", count=40)).keys()


def test_sources_follow_relative_imports_and_packages(write, tmp_path):
    (tmp_path / "plugins" / "bundle").mkdir()
    for name, text in {
        "__init__": "",
        "net": "from . import parts\n" + NET,
        "parts": "from .deeper import x\n",
        "deeper": "x = 1",
    }.items():
        (tmp_path / "plugins" / "bundle" / f"{name}.py").write_text(text)
    found = [path.stem for path in plugins.sources("bundle.net:Net", "name")]
    assert sorted(found) == ["__init__", "deeper", "net", "parts"]
    assert all(path.suffix == ".py" for path in plugins.sources("json:loads", "name"))


def test_other_sections_take_own_code(write):
    name = write(
        "import torch\nfrom torch import nn\n"
        "def norm(facts): return [0.5], [0.25]\n"
        "def dark(images, draws, *, by: int = 2): return images // by\n"
        "def mix(images, labels, draws): return images.flip(0), labels\n"
        "def loss(class_counts, *, power: float = 1.0):\n"
        "    return lambda logits, targets: nn.functional.cross_entropy(logits, targets) ** power\n"
        "def sgd(model, *, lr: float): return torch.optim.SGD(model.parameters(), lr=lr)\n"
        "def half(budget): return lambda step: 0.5\n"
    )
    own = experiment(
        normalize={"name": f"{name}:norm"},
        augment=[{"name": f"{name}:dark"}, {"name": f"{name}:mix"}],
        loss={"name": f"{name}:loss", "power": 2.0},
        optimizer={"name": f"{name}:sgd", "lr": "0.1*B/256"},
        schedule={"name": f"{name}:half"},
    )
    described = description(own, random_images("digits", count=40))
    assert len(described["plugins"]) == 6
    assert described["parameter_groups"][0]["lr"] == 0.05


@pytest.mark.parametrize(
    ("section", "function", "said"),
    [
        ("augment", "def f(images, draws): return images.float()", r"augment: {}:f must return images like those it got"),
        ("augment", "def f(images, labels, draws): return images", r"augment: {}:f must return images and targets, not a Tensor"),
        ("augment", "def f(images): return images", r"must take \(images, draws, \*, options\)"),
        ("optimizer", "def f(model): return model", r"optimizer: {}:f must return a torch.optim.Optimizer, not a Linear"),
        ("loss", "def f(class_counts): return 1", r"loss: {}:f must return a function of logits and targets, not a int"),
        ("loss", "def f(): return 1", r"{}:f must take \(class_counts, \*, options\)"),
    ],
)
def test_faults_of_other_sections_are_one_line(write, section, function, said):
    module = write(function)
    spec = {"name": f"{module}:f"}
    with pytest.raises(UserError, match=said.format(module)):
        checked(experiment(**{section: [spec] if section == "augment" else spec}), FACTS)


def test_an_error_while_training_is_one_line(write):
    """Also out of a process, which only takes its text along."""
    module = write("def f(x):\n    return [][x]\n")

    def job(_: object) -> None:
        plugins.function(f"{module}:f", "model")(3)

    with pytest.raises(UserError, match=f"^plugins/{module}.py, line 2: IndexError: list index out of range$"):
        _call(job, None)
    with pytest.raises(ZeroDivisionError) as raised:
        _call(lambda _: 1 / 0, None)
    assert in_plugins(raised.value) is None


def test_weights_of_a_stranger_run_no_code_that_the_project_does_not_name(write, tmp_path):
    module = write(NET + "\ndef tool(channels, classes, *, path: str):\n    open(path, 'w').close()\n")
    build_stored_network({"name": f"{module}:Net"}, FACTS, seed=0)
    victim = tmp_path / "victim"
    for name in (f"{module}:tool", "os:system", "json:loads", "reslab.models:resnet", "x y:z"):
        with pytest.raises(UserError, match=r"neither in params\.yaml nor a network in plugins/"):
            build_stored_network({"name": name, "path": str(victim)}, FACTS, seed=0)
    assert not victim.exists()
    (tmp_path / "params.yaml").write_text(f"experiments: {{it: {{model: {{name: '{module}:tool'}}}}}}")
    with pytest.raises(UserError, match=r"must return a torch\.nn\.Module"):
        build_stored_network({"name": f"{module}:tool", "path": str(victim)}, FACTS, seed=0)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_networks_of_torchvision_get_our_channels_and_classes(name):
    network = build_network({"name": f"torchvision:{name}"}, FACTS, seed=0)
    assert network.eval()(torch.zeros(2, 1, 64, 64)).shape == (2, 10)
    assert next(module for module in network.modules() if isinstance(module, nn.Conv2d)).in_channels == 1


def test_networks_of_timm_get_our_channels_and_classes():
    pytest.importorskip("timm", reason="timm is not installed: pip install --editable '.[timm]'")
    network = build_network({"name": "timm:resnet18d", "drop_rate": 0.1}, FACTS, seed=0)
    assert network.eval()(torch.zeros(2, 1, 64, 64)).shape == (2, 10)
    checked(experiment(model={"name": "timm:resnet10t"}), FACTS)
    with pytest.raises(UserError, match="drop_rate"):
        build_network({"name": "timm:resnet18d", "drop_rate": 2.0}, FACTS, seed=0)
