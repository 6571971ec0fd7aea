"""ImageNet's official archives with other images: a tar of tars, a tar of validation images, and a devkit with their labels."""

import io
import tarfile
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.io import savemat


def tar(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    """A tar with these contents by name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def table(wordnet: Mapping[int, str], groups: Sequence[int] = ()) -> bytes:
    """The devkit's table of ids and WordNet names, in MATLAB's form; `groups` are ids that hold other classes."""
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    synsets = np.array([(float(number), name, "words", float(number in groups)) for number, name in wordnet.items()], dtype=kinds)
    out = io.BytesIO()
    savemat(out, {"synsets": synsets.reshape(-1, 1)})
    return out.getvalue()


def devkit(synsets: bytes, answers: Sequence) -> bytes:
    """The devkit with a table, and the id of each validation image."""
    lines = "".join(f"{number}\n" for number in answers).encode()
    files = {"meta.mat": synsets, "ILSVRC2012_validation_ground_truth.txt": lines}
    return tar({f"ILSVRC2012_devkit_t12/data/{name}": content for name, content in files.items()}, "w:gz")
