"""Work, machines and time: what a run costs, and how a machine's speed is measured, stored and found."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from facts import facts
from project import SMALL_PARAMS

from reslab import config
from reslab.config import library
from reslab.cost import calibrate, machines
from reslab.cost.estimate import Cost, costs, evaluation_work, fitting, network_work, run_work, step_work
from reslab.cost.forward_work import forward_work
from reslab.cost.machines import Machine, Work
from reslab.data import prepared
from reslab.data.datasets.digits import Digits
from reslab.data.sizes import SIZES, size_facts
from reslab.errors import UserError
from reslab.models.analysis.count import count
from reslab.models.analysis.published import architectures

CIFAR = facts("cifar10") | {"validation": 0, "test": 10_000}
SPEED = {"step": 1e-3, "operation": 1e-5, "gflop": 1e-2, "gbyte": 1e-1, "megapixel": 1e-3}
MACHINE = Machine(name="made-up", device="none", kind="predicted", seconds_per=SPEED)


def experiment(model: dict | None = None, **train) -> config.Experiment:
    made = calibrate.recipe(model or {"name": "resnet", "depth": 20}, 128)
    return dataclasses.replace(made, train=made.train.model_copy(update=train))


def seconds(chosen: config.Experiment) -> float:
    return run_work(chosen, CIFAR).seconds(SPEED)


def test_work_counts_the_published_multiply_adds():
    """In training mode too, where networks with random layers run other code."""
    for architecture in [entry for entry in architectures() if entry.model["name"] in ("resnet", "wrn", "shake_shake", "resnext")][
        :8
    ]:
        with torch.device("meta"):
            network = architecture.build()
        shape = tuple(architecture.input)
        assert forward_work(network, shape).multiply_adds == count(network, shape)["multiply_adds"], architecture.id


def test_traffic_is_what_the_operations_read_and_write():
    layer = torch.nn.Conv2d(3, 4, 3, padding=1, bias=False, device="meta")
    work = forward_work(torch.nn.Sequential(layer, torch.nn.ReLU(), torch.nn.Flatten()), (3, 8, 8))
    assert work.operations == 2  # flattening is a view
    assert work.bytes == 4 * 64 * (3 + 4 + 4 + 4)
    assert (work.parameters, work.tensors) == (108, 1)


def test_more_work_costs_more():
    depths = [seconds(experiment({"name": "resnet", "depth": depth})) for depth in (20, 32, 56, 110)]
    assert depths == sorted(depths)
    one, three = seconds(experiment(epochs=1)), seconds(experiment(epochs=3))
    assert three == pytest.approx(3 * one)
    assert seconds(experiment(batch_size=32)) > one  # four times as many steps, the same images
    assert seconds(experiment(ghost_batch_size=32)) > one
    twice = dataclasses.replace(experiment(), augment=[{"name": "dual_cutout", "size": 16}])
    assert step_work(twice, CIFAR).gflop == 2 * step_work(experiment(), CIFAR).gflop
    assert evaluation_work(experiment(), CIFAR | {"validation": 5_000}).gflop == 1.5 * evaluation_work(experiment(), CIFAR).gflop


def test_a_run_is_its_steps_and_its_evaluations():
    run = experiment(epochs=None, iterations=400)
    step, evaluation = step_work(run, CIFAR), evaluation_work(run, CIFAR)
    assert run_work(run, CIFAR).gflop == pytest.approx(400 * step.gflop + 2 * evaluation.gflop)  # 391 steps an epoch
    assert step.gflop == pytest.approx(3 * 128 * 2 * network_work(run, CIFAR).multiply_adds / 1e9)
    assert Work(1, 2, 3, 4, 5).seconds(SPEED) == pytest.approx(1e-3 + 2e-5 + 3e-2 + 4e-1 + 5e-3)


def test_seeds_at_once_share_the_wall_clock():
    study = config.parse(config.parse_yaml(SMALL_PARAMS) | {"seeds": [0, 1, 2]})
    known = size_facts(study.dataset, 0, Path("none"))
    for at_once, factor in ((1, 3), (2, 2), (3, 1), (8, 1)):
        for cost in costs(study, known, MACHINE, at_once=at_once):
            assert cost.wall == pytest.approx(factor * cost.seconds)


def test_the_cheapest_that_fit_are_chosen_in_their_order():
    made = [Cost(name, 1, 1, wall, wall) for name, wall in (("large", 50), ("small", 10), ("middle", 20))]
    assert fitting(made, 80) == ["large", "small", "middle"]
    assert fitting(made, 79) == ["small", "middle"]
    assert fitting(made, 29) == ["small"]
    assert fitting(made, 9) == []


def test_sizes_are_those_of_the_data(tmp_path):
    raw = Digits(tmp_path / "raw")
    raw.fetch()
    found = prepared.save(raw.read(), tmp_path / "prepared", name="digits", validation=100)
    known = size_facts({"name": "digits"}, 100, tmp_path / "nowhere")
    assert known == {key: found[key] for key in known}
    assert set(SIZES) == {"digits", "mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100", "imagenet", "cifar10-jpeg"}


def test_other_data_must_be_there(tmp_path, small_images):
    with pytest.raises(
        UserError, match=r"prepared: image_folder has not been prepared, and its size is not known in advance; run `dvc repro prep"
    ):
        size_facts({"name": "image_folder"}, 0, tmp_path / "prepared")
    prepared.save(small_images, tmp_path / "prepared", name="image_folder", validation=4)
    assert size_facts({"name": "image_folder"}, 4, tmp_path / "prepared")["train"] == 36


def test_the_fit_finds_the_speed_that_made_the_times():
    rows = [
        {"network": name, "seconds": work.seconds(SPEED), "work": work}
        for name, (model, shape) in calibrate.NETWORKS.items()
        for size in (4, 16, 64)
        for work in [step_work(calibrate.recipe(model, size), CIFAR | {"image_shape": shape})]
    ]
    assert calibrate.fit(rows) == pytest.approx(SPEED, rel=1e-3)
    assert calibrate.left_out(rows).mean_percent < 1
    slow = [row | {"seconds": 3 * row["seconds"]} if row["network"] == "wrn16-4" else row for row in rows]
    error = calibrate.left_out(slow)
    assert error.worst_network == "wrn16-4"
    assert error.worst_percent > 10


def test_a_left_out_network_has_one_name():
    """The order of keys and the initial weights change no time."""
    one = {"name": "shake_shake", "depth": 26, "width": 96, "form": "hysts2018"}
    assert calibrate.network_name(one) == calibrate.network_name({**dict(reversed(one.items())), "init": "fan_in"})
    assert calibrate.network_name(one) != calibrate.network_name(one | {"width": 64})


def test_a_machine_survives_its_file_and_is_found_again(tmp_path):
    measured = Machine(
        name="box", device="A CPU", threads=1, kind="measured", seconds_per=SPEED, rows=[{"network": "a", "seconds": 1.0}]
    )
    predicted = MACHINE.model_copy(update={"name": "other", "device": "A GPU"})
    for machine in (measured, predicted):
        machines.write(machine, tmp_path)
        assert machines.read(machine.name, tmp_path) == machine
    assert machines.likely({"device": "A CPU", "threads": 1}, tmp_path) == measured
    for other in ({"device": "A CPU", "threads": 2}, {"device": "A GPU", "threads": 1}):  # a prediction is no measurement
        assert machines.matching(other, [measured, predicted]) is None
    with pytest.raises(UserError, match=r"unknown machine 'bax' \(did you mean 'box'\?\); allowed: box, other; `reslab calibrate`"):
        machines.read("bax", tmp_path)
    folded = measured.model_copy(update={"name": "long", "device": "'A CPU'" * 30})
    machines.write(folded, tmp_path)
    assert machines.likely({"device": folded.device, "threads": 1}, tmp_path) == folded  # which takes several lines of its file
    (tmp_path / "bad.yaml").write_text("name: bad\ndevice: x\nkind: guessed\nseconds_per: {}\n")
    with pytest.raises(UserError, match=r"bad\.yaml: machine\.kind: 'guessed' is not allowed"):
        machines.read("bad", tmp_path)
    (tmp_path / "bad.yaml").write_text("name: bad\ndevice: x\nkind: measured\nseconds_per: {step: 1}\n")
    with pytest.raises(UserError, match=r"seconds_per: expected step, operation, gflop"):
        machines.read("bad", tmp_path)
    known = "name: bad\ndevice: x\nkind: measured\nseconds_per: {step: 1, operation: 1, gflop: 1, gbyte: 1, megapixel: 1}\n"
    (tmp_path / "bad.yaml").write_text(known + "error: {mean: 3}\n")
    with pytest.raises(UserError, match=r"error.*mean_percent"):
        machines.read("bad", tmp_path)


def test_shipped_machines_say_what_they_are(repository):
    folder = repository / "machines"
    shipped = {name: machines.read(name, folder) for name in machines.names(folder)}
    assert {machine.kind for machine in shipped.values()} == {"measured", "published", "predicted"}
    for machine in shipped.values():
        assert machine.rows
        assert bool(machine.error) == (machine.kind != "predicted")
        assert ("PREDICTED, not measured" in machine.summary()) == (machine.kind == "predicted")
    assert shipped["nvidia-h200-predicted"].kind == "predicted"


def test_the_documentation_shows_how_far_off_the_machines_are(repository):
    page = (repository / "docs" / "studies.md").read_text()
    for name in machines.names(repository / "machines"):
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        error = machines.read(name, repository / "machines").error
        said = f"{error.mean_percent:.0f} % on average, {error.worst_percent:.0f} % at most" if error else "not measured yet"
        assert said in row


def test_a_published_run_that_stands_in_several_tables_counts_once(repository, monkeypatch):
    monkeypatch.chdir(repository)
    names = ("hysts-lr-batch0512", "hysts-lars-batch0512", "hysts-mnist")
    studies = [config.parse(library.compose(name)) for name in names]
    device = "GeForce GTX 1080 Ti"
    every = [row for study in studies for row in calibrate.published_rows(study, device)]
    rows = calibrate.distinct_rows(studies, device)
    assert len(rows) == len({row["run"] for row in every}) < len(every)
    mnist = {row["experiment"] for row in rows if row["study"] == "hysts-mnist"}
    assert {"preact20-cutout8", "preact20-cutout16"} <= mnist  # equal errors and minutes, but not the same run


def test_the_published_time_of_another_recipe_is_not_fitted(repository, monkeypatch):
    monkeypatch.chdir(repository)
    short = config.parse(library.compose("mnist-preact20-short"))  # 5 of the 100 epochs that the published minutes are of
    assert short.report.published["preact20"].minutes
    assert not list(calibrate.published_rows(short, "GeForce GTX 1080 Ti"))


def test_a_stored_machine_is_plain_yaml(tmp_path):
    machine = Machine(name="a", device="b", kind="predicted", seconds_per=dict.fromkeys(machines.UNITS, 0.5))
    path = machines.write(machine, tmp_path)
    assert json.loads(json.dumps(config.read_yaml(path)))["seconds_per"]["gflop"] == 0.5
