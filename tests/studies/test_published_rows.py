"""Every published row is an experiment of some study, with the numbers of its table."""

import os
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from reslab import config
from reslab.config import library

FOLDER = Path(__file__).parents[2] / "studies"
REFERENCE = Path(os.environ.get("RESLAB_REFERENCE", FOLDER.parents[2] / "shared" / "reference"))

# table of pytorch_image_classification -> study, its rows, and how many of them have a number
HYSTS = {
    "cifar10_paper_settings": ("hysts-paper-settings", 22, 15),
    "cifar10_resnet_preact20_w4": ("hysts-preact20-wide4", 9, 9),
    "cifar10_wrn_shake_regularizers": ("hysts-wrn-shake-regularizers", 18, 18),
    "cifar10_wrn28_10_ricap_multi_gpu": ("hysts-wrn28-ricap-multi-gpu", 4, 4),
    "fashionmnist_large": ("hysts-fashion-mnist", 12, 12),
    "fashionmnist_preact20": ("hysts-fashion-mnist-preact20", 10, 10),
    "mnist": ("hysts-mnist", 13, 13),
    "kmnist": ("hysts-kmnist", 4, 4),
    "exp_residual_units": ("hysts-preact56-units", 10, 10),
    "exp_label_smoothing_mixup_ricap_dualcutout": ("hysts-mixing-preact20", 16, 16),
    "exp_linear_scaling_cosine200": ("hysts-linear-scaling-cosine200", 10, 10),
    "exp_linear_scaling_multistep200": ("hysts-linear-scaling-multistep200", 10, 10),
    "exp_linear_scaling_cosine400": ("hysts-linear-scaling-cosine400", 10, 10),
    "exp_linear_scaling_cosine800": ("hysts-linear-scaling-cosine800", 10, 10),
    "exp_initial_lr_bs4096": ("hysts-lr-batch4096", 3, 3),
    "exp_initial_lr_bs2048": ("hysts-lr-batch2048", 5, 5),
    "exp_initial_lr_bs1024": ("hysts-lr-batch1024", 7, 7),
    "exp_initial_lr_bs512": ("hysts-lr-batch0512", 4, 4),
    "exp_initial_lr_bs256": ("hysts-lr-batch0256", 5, 5),
    "exp_initial_lr_bs128": ("hysts-lr-batch0128", 7, 7),
    "exp_initial_lr_bs64": ("hysts-lr-batch0064", 4, 4),
    "exp_initial_lr_bs32": ("hysts-lr-batch0032", 4, 4),
    "exp_good_lr_ep200": ("hysts-good-lr-epochs0200", 10, 10),
    "exp_good_lr_ep800": ("hysts-good-lr-epochs0800", 10, 10),
    "exp_good_lr_ep1600": ("hysts-good-lr-epochs1600", 6, 6),
    "exp_good_lr_ep3200": ("hysts-good-lr-epochs3200", 3, 3),
    "exp_good_lr_ep6400": ("hysts-good-lr-epochs6400", 1, 1),
    "exp_lars_bs4096": ("hysts-lars-batch4096", 9, 9),
    "exp_lars_bs2048": ("hysts-lars-batch2048", 9, 9),
    "exp_lars_bs1024": ("hysts-lars-batch1024", 10, 10),
    "exp_lars_bs512": ("hysts-lars-batch0512", 9, 9),
    "exp_lars_bs256": ("hysts-lars-batch0256", 8, 8),
    "exp_lars_bs128": ("hysts-lars-batch0128", 7, 7),
    "exp_lars_bs4096_longer": ("hysts-lars-batch4096-longer", 7, 7),
    "exp_ghost_bn_none_200ep": ("hysts-ghost-bn-whole-batch-epochs0200", 5, 5),
    "exp_ghost_bn_none_1600ep": ("hysts-ghost-bn-whole-batch-epochs1600", 4, 3),
    "exp_ghost_bn_128_200ep": ("hysts-ghost-bn-128-epochs0200", 4, 4),
    "exp_ghost_bn_128_1600ep": ("hysts-ghost-bn-128-epochs1600", 4, 4),
    "exp_no_wd_on_bn_bs4096": ("hysts-bn-decay-batch4096", 10, 10),
    "exp_no_wd_on_bn_bs2048": ("hysts-bn-decay-batch2048", 10, 10),
    "exp_no_wd_on_bn_bs1024": ("hysts-bn-decay-batch1024", 10, 10),
    "exp_precision_fp32": ("hysts-precision-float32", 7, 6),
    "exp_precision_fp16": ("hysts-precision-float16", 7, 7),
    "exp_precision_mixed": ("hysts-precision-mixed", 7, 7),
    "exp_precision_v100": ("hysts-precision-v100", 8, 8),
}
OTHERS = {  # study -> experiments, published numbers
    "akamaster-cifar10": (6, 6),
    "cifar10-jpeg-depth": (6, 0),
    "digits-tau": (6, 0),
    "fattorib-cifar10": (4, 4),
    "fb-resnet-cifar10": (6, 6),
    "fixup-cifar10": (4, 0),
    "fb-resnet-imagenet": (3, 3),
    "he2015-cifar10": (9, 8),
    "he2015-imagenet": (9, 9),
    "he2016-activations": (15, 15),
    "he2016-cifar100": (4, 4),
    "he2016-imagenet": (3, 3),
    "he2016-shortcuts": (12, 7),
    "mnist-preact20-short": (2, 2),
    "reproduction-cifar10": (9, 9),
    "tau-resnet-cifar10": (10, 10),
    "tau-resnet-imagenet": (11, 0),
    "tau-resnet-nobn-cifar10": (8, 0),
    "tau-theory-cifar10": (24, 0),
    "tau-theory-digits": (24, 0),
    "wilber-blocks": (8, 8),
    "wilber-bn-momentum": (4, 4),
    "wilber-gamma": (2, 2),
    "wilber-sizes": (5, 5),
    "wilber-solvers": (19, 18),
}


@cache
def study(name: str) -> config.Study:
    return config.parse(library.compose(name, FOLDER))


def test_no_row_is_lost():
    counts = {name: (len(study(name).experiments), len(study(name).report.published)) for name in library.names(FOLDER)}
    known = {name: tuple(row) for name, *row in HYSTS.values()} | OTHERS
    assert {name: counts[name] for name in known} == known
    assert [name for name, (_, numbers) in counts.items() if numbers and name not in known] == []
    assert [sum(row[part] for row in HYSTS.values()) for part in (1, 2)] == [362, 353]


def read(name: str) -> dict:
    """A file of published numbers, where this machine has it."""
    if not (path := REFERENCE / name).exists():
        pytest.skip("no published tables to compare with: set RESLAB_REFERENCE to their folder")
    return YAML(typ="safe").load(path)  # larger than any params.yaml may be


@pytest.fixture(scope="module")
def hysts() -> dict[str, list[dict]]:
    """The rows of pytorch_image_classification by table."""
    tables: dict[str, list[dict]] = {}
    for row in read("published_pytorch_image_classification.yaml")["rows"]:
        tables.setdefault(row["table"], []).append(row)
    return tables


@pytest.mark.reference
@pytest.mark.parametrize("table", HYSTS)
def test_rows_say_what_the_published_table_says(table, hysts):
    found = study(HYSTS[table][0])
    assert len(found.experiments) == len(hysts[table])
    for row, experiment in zip(hysts[table], found.experiments.values(), strict=True):
        published = found.report.published.get(experiment.name)
        assert (published.error if published else None) == row["test_error_pct"], experiment.name
        assert (published.minutes if published else None) == row["training_time_minutes"], experiment.name
        for key, value in stated(row).items():
            assert value == written(experiment)[key], (experiment.name, key)


def stated(row: dict) -> dict:
    """What a row of the reference says in numbers."""
    training, network, augmentation = row["training"], row["model_settings"], row["augmentation"]
    numbers = {key: training.get(key) for key in ("batch_size", "epochs", "weight_decay", "ghost_batch_size", "milestones")}
    numbers |= {"lr": training.get("base_lr"), "depth": None if network["family"] == "vgg" else network["depth"]}
    numbers |= {"smoothing": augmentation.get("label_smoothing", {}).get("epsilon")}
    numbers |= {"cutout": augmentation.get("cutout", {}).get("mask_size"), "mixup": augmentation.get("mixup", {}).get("alpha")}
    return {key: value for key, value in numbers.items() if value is not None}


def written(experiment: config.Experiment) -> dict:
    """The same numbers of an experiment."""
    steps = {step["name"]: step for step in experiment.augment}
    return {
        "batch_size": experiment.train.batch_size,
        "epochs": experiment.train.epochs,
        "weight_decay": experiment.optimizer["weight_decay"],
        "ghost_batch_size": experiment.train.ghost_batch_size,
        "milestones": experiment.schedule.get("milestones"),
        "lr": experiment.optimizer["lr"],
        "depth": experiment.model.get("depth"),
        "smoothing": experiment.loss.get("label_smoothing"),
        "cutout": steps.get("cutout", {}).get("size"),
        "mixup": steps.get("mixup", {}).get("alpha"),
    }


RESNETS = {  # study -> which rows of the papers and reproductions on its dataset are its numbers
    "he2015-cifar10": lambda row: (
        row["source"] in ("he2015", "he_fig1") and row["model"].startswith(("plain", "resnet")) and row.get("stat") != "best_of_5"
    ),
    "he2015-imagenet": lambda row: row["source"] == "he2015" and row["eval"] == "10crop",
    "he2016-shortcuts": lambda row: row["source"] == "he2016" and row.get("study") == "shortcut",
    "he2016-activations": lambda row: row["source"] in ("he2016", "resnet1k") and row.get("study") != "shortcut",
    "he2016-cifar100": lambda row: row["source"] == "he2016",
    "he2016-imagenet": lambda row: row["source"] == "he2016",
    "tau-resnet-cifar10": lambda row: row["source"] == "tau_chart",
    "tau-resnet-nobn-cifar10": lambda row: row["source"] == "tau_readme",
    "wilber-sizes": lambda row: row.get("table") == "model_size",
    "wilber-blocks": lambda row: row.get("table") in ("block_20", "block_110"),
    "wilber-solvers": lambda row: row.get("table") in ("solver_20", "solver_110"),
    "wilber-bn-momentum": lambda row: row.get("table") == "bn_momentum",
    "wilber-gamma": lambda row: row.get("table") == "init_pr3",
    "fattorib-cifar10": lambda row: row["source"] == "fattorib",
    "akamaster-cifar10": lambda row: row["source"] == "akamaster" and row["kind"] == "reported",
    "fb-resnet-cifar10": lambda row: row["source"] == "fbresnet",
    "fb-resnet-imagenet": lambda row: row["source"] == "fbresnet",
    "reproduction-cifar10": lambda row: row["source"] == "thirdparty",
}
OMITTED = {  # why there is no experiment with this number -> which rows
    "a training error, our tables hold test errors; the network is one of he2015-cifar10": lambda row: (
        row.get("metric") == "train_error" and row["source"] in ("he2015", "he_fig1")
    ),
    "the best of the five runs whose mean is in he2015-cifar10": lambda row: (
        row.get("stat") == "best_of_5" and "110" in row["model"]
    ),
    "a network of another paper, which He 2015 quotes; not residual": lambda row: (
        row["model"] in ("maxout", "nin", "dsn", "fitnet19", "highway19", "highway32", "caffenet128")
    ),
    "a network of he2015-imagenet scored at several scales by convolving the whole image, which reslab cannot": lambda row: (
        row.get("eval") == "multiscale_fullyconv"
    ),
    "superseded by its author (2,000 test images with replacement); its networks are those of wilber-sizes and wilber-blocks": (
        lambda row: row["source"] == "gcr_old"
    ),
    "other people's runs of akamaster-cifar10, whose README's number is there": lambda row: (
        row["source"] == "akamaster" and row["kind"] == "issue"
    ),
    "its shortcuts pool 2x2 and its input has batch norm; we have no such network": lambda row: (
        row["source"] == "apache/mxnet PR #2046"
    ),
    "its images are standardised one by one, which no normalisation of ours does": lambda row: (
        row["source"] == "tensorflow/models PR #5243"
    ),
    "its recipe is not in any stored source; the networks are those of he2016-activations": lambda row: (
        row["source"] == "ReScience-submission PR #20"
    ),
    "a difference between two networks of an unknown recipe": lambda row: row["source"] == "skipdepth",
    "from memory, never found in a source": lambda row: row["kind"] == "recall",
    "we have no Fixup network for large images": lambda row: row["source"] == "hongyi-zhang/Fixup README",
}


def of_study(name: str, row: dict) -> bool:
    """Whether a row of the reference is a number of the study."""
    return row["dataset"] == study(name).dataset["name"] and "metric" not in row and RESNETS[name](row)


@pytest.fixture(scope="module")
def resnets() -> list[dict]:
    """The rows of the papers and reproductions."""
    return read("published_resnet.yaml")["results"]


@pytest.mark.reference
@pytest.mark.parametrize("name", RESNETS)
def test_numbers_are_those_of_the_papers(name, resnets):
    rows = [row for row in resnets if of_study(name, row)]
    values = [row.get("mean", row["value"]) for row in rows]
    published = [number.error for number in study(name).report.published.values()]
    assert rows
    assert sorted(published) == sorted(value for value in values if value is not None)


def homes(row: dict) -> list[str]:
    """The studies a row belongs to, and the reasons why it belongs to none."""
    return [name for name in RESNETS if of_study(name, row)] + [reason for reason, omits in OMITTED.items() if omits(row)]


@pytest.mark.reference
def test_every_row_of_the_papers_is_in_one_study_or_left_out_for_one_reason(resnets):
    assert [row for row in resnets if len(homes(row)) != 1] == []
    assert {home for row in resnets for home in homes(row)} == RESNETS.keys() | OMITTED.keys()
    assert homes({"source": "a new paper", "dataset": "cifar10", "model": "resnet20", "value": 8.0, "kind": "reported"}) == []
