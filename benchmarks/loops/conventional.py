"""(a) The loop of most public training scripts: a few workers, PIL, eager float32 in NCHW, loss and accuracy read each step."""

import time

import torch

from loops.job import Job, Work
from loops.pictures import loader, test_pictures, training_pictures
from loops.public import OfTrainee, Trainee

WORKERS = 4  # as akamaster's script; kuangliu's and hysts' have 2


class Conventional(OfTrainee):
    """Workers that start anew each epoch, blocking copies, `.item()` twice a step."""

    def __init__(self, job: Job) -> None:
        self.trainee = trainee = Trainee(job)
        for group in trainee.optimizer.param_groups:
            group["fused"] = None  # torch's default form of the update
        workers, data = min(WORKERS, job.workers), trainee.data
        options = {"batch_size": trainee.train.batch_size, "drop_last": trainee.train.drop_last}
        self.batches = loader(training_pictures(data.train, trainee.recipe), workers=workers, shuffle=True, **options)
        self.tests = loader(test_pictures(data.test, trainee.recipe), workers=workers, batch_size=100)

    def train(self, epochs: int) -> Work:
        """Go on for so many epochs; the running mean of the loss is what a progress bar would show."""
        trainee, images, waited = self.trainee, 0, 0.0
        for _ in range(epochs):
            trainee.model.train()
            running, correct, began = 0.0, 0, time.perf_counter()
            for step, (inputs, labels) in enumerate(self.batches):
                waited += 0 if step else time.perf_counter() - began
                inputs, labels = inputs.to(trainee.device), labels.to(trainee.device)
                trainee.begin_step()
                logits = trainee.model(inputs)
                loss = trainee.loss(logits, labels)
                trainee.update(loss)
                running += loss.item()
                correct += logits.argmax(1).eq(labels).sum().item()
                images += len(labels)
        return Work(images, waited)

    @torch.no_grad()
    def evaluate(self) -> float:
        """The test error, counted batch by batch."""
        trainee, wrong = self.trainee, 0
        trainee.model.eval()
        for inputs, labels in self.tests:
            inputs, labels = inputs.to(trainee.device), labels.to(trainee.device)
            wrong += trainee.model(inputs).argmax(1).ne(labels).sum().item()
        return wrong / len(trainee.data.test)
