"""(c) The form of the speed-run scripts: all data on the device, augmented whole once an epoch, nothing read within an epoch."""

import torch
from torch import Tensor
from torch.nn import functional as F

from loops.job import Job, Work
from loops.public import OfTrainee, Trainee


class SpeedRun(OfTrainee):
    """Images are normalised and padded once; each epoch crops all of them, shift by shift, and flips half; channels_last."""

    mode: str | None = None  # of torch.compile; None: not compiled

    def __init__(self, job: Job) -> None:
        self.trainee = trainee = Trainee(job, torch.channels_last)
        self.network = trainee.model if self.mode is None else torch.compile(trainee.model, mode=self.mode)
        data, padding = trainee.data, trainee.recipe.padding
        self.side = data.train.images.shape[2:]
        self.padded = self._normalized(F.pad(torch.from_numpy(data.train.images), (padding,) * 4))
        self.tests = self._normalized(torch.from_numpy(data.test.images))
        self.labels, self.test_labels = (torch.from_numpy(split.labels).to(trainee.device) for split in (data.train, data.test))

    def _normalized(self, images: Tensor) -> Tensor:
        """uint8 on the host -> normalised on the device, in the format of the forward pass (B, C, H, W), channels_last."""
        trainee = self.trainee
        mean, std = (
            torch.tensor(values, device=trainee.device)[:, None, None] for values in (trainee.recipe.mean, trainee.recipe.std)
        )
        normalized = (images.to(trainee.device, torch.float32) / 255 - mean) / std
        return normalized.to(trainee.precision.autocast or torch.float32, memory_format=torch.channels_last)

    def _augmented(self) -> Tensor:
        """All images of one epoch: every shift's images are cut out together, then half of all are mirrored."""
        count, padding, (height, width) = len(self.padded), self.trainee.recipe.padding, self.side
        shifts = torch.randint(2 * padding + 1, (2, count), device=self.padded.device)
        images = torch.empty_like(self.padded[:, :, :height, :width], memory_format=torch.channels_last)
        for top in range(2 * padding + 1):
            for left in range(2 * padding + 1):
                chosen = (shifts[0] == top) & (shifts[1] == left)
                images[chosen] = self.padded[chosen, :, top : top + height, left : left + width]
        mirrored = torch.rand(count, device=images.device) < self.trainee.recipe.flip
        return torch.where(mirrored[:, None, None, None], images.flip(3), images)

    def train(self, epochs: int) -> Work:
        """Go on for so many epochs."""
        trainee, images = self.trainee, 0
        for _ in range(epochs):
            trainee.model.train()
            inputs, running = self._augmented(), torch.zeros((), device=trainee.device)
            for index in torch.randperm(len(inputs), device=inputs.device).split(trainee.train.batch_size):
                if trainee.train.drop_last and len(index) < trainee.train.batch_size:
                    break
                trainee.begin_step()
                torch.compiler.cudagraph_mark_step_begin()
                with trainee.precision.context(trainee.device):
                    loss = trainee.loss(
                        self.network(inputs[index].contiguous(memory_format=torch.channels_last)), self.labels[index]
                    )
                trainee.update(loss)
                running += loss.detach()
                images += len(index)
            running.item()
        return Work(images)

    @torch.no_grad()
    def evaluate(self) -> float:
        """The test error, read once."""
        trainee = self.trainee
        trainee.model.eval()
        wrong = torch.zeros((), device=trainee.device)
        for inputs, labels in zip(self.tests.split(500), self.test_labels.split(500), strict=True):
            with trainee.precision.context(trainee.device):
                wrong += trainee.model(inputs).argmax(1).ne(labels).sum()
        return wrong.item() / len(self.test_labels)


class CompiledSpeedRun(SpeedRun):
    """The same with the network compiled."""

    mode = "default"


class GraphedSpeedRun(SpeedRun):
    """The same with the network compiled into CUDA graphs: the cheapest answer of torch's own to many small kernels."""

    mode = "reduce-overhead"
