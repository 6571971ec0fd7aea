"""(b) The conventional loop with every cheap means that is documented for everyone."""

import time

import torch

from loops.job import Job, Work
from loops.pictures import loader, test_pictures, training_pictures
from loops.public import OfTrainee, Trainee


class Tuned(OfTrainee):
    """A worker a core, pinned memory, persistent workers, channels_last, autocast, compile, sums that stay on the device."""

    mode = "default"  # of torch.compile

    def __init__(self, job: Job) -> None:
        self.trainee = trainee = Trainee(job, torch.channels_last)
        self.compiled = torch.compile(trainee.model, mode=self.mode)
        data = trainee.data
        options = {"workers": job.workers, "pin_memory": trainee.device.type == "cuda", "persistent_workers": job.workers > 0}
        epoch = {"batch_size": trainee.train.batch_size, "drop_last": trainee.train.drop_last, "shuffle": True}
        self.batches = loader(training_pictures(data.train, trainee.recipe), **options, **epoch)
        self.tests = loader(test_pictures(data.test, trainee.recipe), **options, batch_size=500)

    def train(self, epochs: int) -> Work:
        """Go on for so many epochs; the loss is read once an epoch."""
        trainee, images, waited = self.trainee, 0, 0.0
        for _ in range(epochs):
            trainee.model.train()
            running, began = torch.zeros((), device=trainee.device), time.perf_counter()
            for step, (inputs, labels) in enumerate(self.batches):
                waited += 0 if step else time.perf_counter() - began
                inputs = inputs.to(trainee.device, memory_format=torch.channels_last, non_blocking=True)
                labels = labels.to(trainee.device, non_blocking=True)
                trainee.begin_step()
                torch.compiler.cudagraph_mark_step_begin()
                with trainee.precision.context(trainee.device):
                    loss = trainee.loss(self.compiled(inputs), labels)
                trainee.update(loss)
                running += loss.detach()
                images += len(labels)
            running.item()
        return Work(images, waited)

    @torch.no_grad()
    def evaluate(self) -> float:
        """The test error; the network as it is, for a second compilation would cost more than it brings."""
        trainee = self.trainee
        wrong = torch.zeros((), device=trainee.device)
        trainee.model.eval()
        for inputs, labels in self.tests:
            inputs = inputs.to(trainee.device, memory_format=torch.channels_last, non_blocking=True)
            with trainee.precision.context(trainee.device):
                answers = trainee.model(inputs).argmax(1)
            wrong += answers.ne(labels.to(trainee.device, non_blocking=True)).sum()
        return wrong.item() / len(trainee.data.test)


class GraphedTuned(Tuned):
    """The same with the network compiled into CUDA graphs."""

    mode = "reduce-overhead"
