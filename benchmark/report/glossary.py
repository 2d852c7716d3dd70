"""The words of this project: for the report's glossary and for docs/architecture.md."""

WORDS = (
    ("accelerator", "what trains: `cpu`, `gpu` (CUDA or MPS), `tpu`, or `xla` (XLA on the CPU)."),
    ("mode", "one way to train or to load that is timed, such as the Trainer or a plain loop."),
    ("block", "consecutive steps of one mode between two synchronised readings of the clock."),
    ("round", "one block of each mode; the order of the modes changes from round to round."),
    ("process", "one measuring process: several rounds, which give one rate of each mode."),
    ("session", "one run of the throughput stage: several processes, one after the other."),
    ("pair", "two processes whose blocks alternate; they give one ratio of rates."),
    ("point", "one combination of the values that a sweep varies, such as a batch size."),
    ("look", "a number of pairs after which a duel may end; its intervals cover all looks."),
    ("workload", "network, images, precision and code: only equal workloads are compared."),
    ("control", "the same training from random weights: same seed, samples and number of steps."),
    ("replay", "a training's first steps, repeated in a new process and compared bit for bit."),
    ("digest", "the sha256 of some content: equal digests mean equal bits."),
    ("record", "all results of one accelerator of one machine, in the form that is exported."),
    ("noise floor", "the Trainer's rate over itself; a ratio in its interval shows no difference."),
)  # fmt: skip
"""Words that the code, the documentation and the report share."""
FIGURES = (
    ("images/s", "training images per second through forward, backward and optimizer step."),
    ("at best", "at the batch size that trains the most images/s; it trains another result."),
    ("95% confidence interval", "of 100 such intervals, about 95 contain the true value."),
    ("Trainer", "Lightning's Trainer with the DataModule, as in a training."),
    ("undisturbed", "the rate that the fastest fifth of each process's blocks reaches."),
    ("plain loop", "the same training in plain PyTorch, without Lightning."),
    ("resident batch", "training on one batch that stays on the device, without input."),
    ("ImageFolder loop", "the same training with torchvision's ImageFolder, as in most tutorials."),
)  # fmt: skip
"""Names of figures in the report's tables."""
