"""Turn raw data into arrays or an index, stored splits and statistics: `python stages/preprocess.py data/raw data/prepared`."""

from pathlib import Path

from reslab import config
from reslab.data import datasets, prepared
from reslab.environment import cpu_count, decoders
from reslab.errors import run


def preprocess(raw: Path, folder: Path, params: Path = Path("params.yaml")) -> None:
    """Read the dataset fetched into RAW, split and measure it, and store it in FOLDER."""
    study = config.load(params)
    images = datasets.bound(study.dataset, f"{params}: dataset")(raw).read()
    facts = prepared.save(images, folder, name=study.dataset["name"], validation=study.validation, workers=decoders(cpu_count()))
    shape = "x".join(map(str, facts["image_shape"]))
    counts = ", ".join(f"{facts[split]} {split}" for split in ("train", "validation", "test") if facts[split])
    config.check_still(params, study, lambda now: (now.dataset, now.validation))
    print(f"{facts['name']}: {counts} images of {shape}, {len(facts['class_names'])} classes")


if __name__ == "__main__":
    run(preprocess)
