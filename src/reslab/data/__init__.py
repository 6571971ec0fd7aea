"""Datasets, from their download to normalised batches on the device.

The images of one split pass through these classes, each kept where its memory allows:

| class | where the images are | made by | used by |
| --- | --- | --- | --- |
| `Dataset` | as the two splits it was published in | `read()` of an entry of `DATASETS` | `prepared.save` |
| `Prepared` | as stored by preprocess: train, validation, test | `prepared.load` | `experiment`, `weights`, `cost` |
| `Arrays` | decoded, in host memory (`stored: pixels`) | datasets, `prepared.load` | `Resident`, `Hosted` |
| `Files` | encoded, in one tar on disk (`stored: files`) | `ImageFolder`, `prepared.load` | `Streamed` |
| `Resident` | on the device, all of them | `placement.placed`, if they fit | the two below |
| `Hosted` | in host memory, one batch at a time on the device | `placement.placed`, if they do not fit | the two below |
| `Streamed` | on disk, one batch at a time on the device | `placement.placed`, for `Files` | the two below |
| `TrainingBatches` | on the device: shuffled, augmented, normalised, mixed | `experiment.assemble` | the training step |
| `HeldOutBatches` | on the device: in order, normalised, perhaps in ten crops | `experiment.assemble` | scoring and prediction |
| `Gathered` | on the device: whole batches of `Streamed` parts | `placement.training_batches`, for several processes | training |

A `Split` is `Arrays` or `Files`. `Resident`, `Hosted` and `Streamed` are `RawBatches`: the same batches, bit for bit.
`TrainingBatches` and `HeldOutBatches` are `Batches`: what the network takes.
"""
