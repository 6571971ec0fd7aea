"""Whole raw batches, of which each of the processes that train one network has decoded its part only."""

from reslab.data.batches.raw import RawBatch, RawBatches


class Gathered(RawBatches):
    """The batches of `parts`, put together from all processes: for steps that mix the images of a batch."""

    def __init__(self, parts: RawBatches) -> None:
        self.parts, self.order = parts, parts.order

    def begin(self, epoch: int, first: int = 0) -> None:
        """Start an epoch at its 0-based batch `first`."""
        self.parts.begin(epoch, first)

    def rewind(self) -> None:
        """Go back to a batch that was taken before."""
        self.parts.rewind()

    def load(self, size: int) -> None:
        """The host's part of the next batch."""
        self.parts.load(size)

    def take(self, size: int) -> RawBatch:
        """The next batch, whole."""
        ranks = self.order.ranks
        lengths = [part.stop - part.start for part in ranks.parts(size, self.order.unit)]
        images, labels, places = (ranks.joined(part, lengths) for part in self.parts.take(size))
        return images, labels, places
