"""Given batches in the form that `fit` and `evaluate` take."""

from collections.abc import Callable, Iterable

from reslab.targets import Batch


class Given:
    """The batches that `make(epoch)` returns."""

    def __init__(self, make: Callable[[int], Iterable[Batch]]) -> None:
        self.make = make

    def begin(self, epoch: int, first: int = 0) -> list[int]:
        batches = list(self.make(epoch))[first:]
        self.left = iter(batches)
        return [len(images) for images, _ in batches]

    def load(self, size: int) -> None:
        pass

    def batch(self, size: int) -> Batch:
        return next(self.left)
