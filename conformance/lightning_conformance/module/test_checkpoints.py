"""Rules: a checkpoint is enough to use a trained module."""

from lightning_conformance.messages import describe_error
from lightning_conformance.module.checkpoint_run import Evaluated, observe_loaded, observe_trained
from lightning_conformance.module.observations import ProjectObservations, running_module
from lightning_conformance.module.rules import module_rule
from lightning_conformance.observations import NotJudged
from lightning_conformance.rules import Broken, expect

NOT_LOADED = "its checkpoint can't be loaded without arguments"


def _loaded(project: ProjectObservations) -> Evaluated:
    """Return what the module that a new process loads from the checkpoint gives."""
    (trained,) = project.observe_by(observe_trained)
    loaded: Evaluated = project.observe_by(observe_loaded, checkpoint=trained.checkpoint)[0]
    return loaded


def loadable_module(project: ProjectObservations) -> None:
    """Raise NotJudged if no checkpoint can be loaded: requirement of rules that compare."""
    running_module(project)
    try:
        _loaded(project)
    except Exception as error:
        raise NotJudged(NOT_LOADED) from error


@module_rule(
    why="A checkpoint outlives the script whose arguments made the module.",
    fix="Call self.save_hyperparameters() in __init__. Make submodules of plain arguments in it, "
    "instead of taking them as arguments.",
    requires=running_module,
)
def test_load_from_checkpoint_needs_no_arguments(project: ProjectObservations) -> None:
    """Calls MyModule.load_from_checkpoint(path) in a new process."""
    try:
        _loaded(project)
    except Exception as error:
        raise Broken(f"load_from_checkpoint(path) raises {describe_error(error)}") from error


@module_rule(
    why="What is deployed would not be what was evaluated.",
    fix="Keep what predictions need in parameters, in buffers (register_buffer), or in "
    "on_save_checkpoint and on_load_checkpoint.",
    requires=loadable_module,
)
def test_a_loaded_module_gives_the_same_results(project: ProjectObservations) -> None:
    """Compares predictions of the trained module and of the one that a new process loads.

    Without predictions, a test or validation is compared, or else the weights. Both evaluations
    draw the same numbers.
    """
    trained, loaded = project.observe_by(observe_trained)[0].evaluated, _loaded(project)
    names = [name for name, value in trained.weights.items() if loaded.weights.get(name) != value]
    expect(not names, f"{len(names)} of {len(trained.weights)} tensors differ: {names[:1]}")
    if not trained.stage:
        return
    expect(loaded.stage == trained.stage, f"{trained.stage} fails with the loaded module")
    if trained.batches != loaded.batches:
        raise NotJudged(f"two runs of {trained.stage} get different batches")
    pairs = list(zip(trained.outputs, loaded.outputs, strict=True))
    differ = sum(one != other for one, other in pairs)
    expect(not differ, f"{trained.stage}: {differ} of {len(pairs)} batches give another result")
    for name, value in trained.metrics.items():
        other = loaded.metrics.get(name)
        equal = value == other or (other is not None and value != value and other != other)
        expect(equal, f"{trained.stage}: {name} is {value:.6g}, and {other} when loaded")


@module_rule(
    why="A file that needs weights_only=False can run any code when it is loaded; "
    "load_from_checkpoint and ckpt_path may refuse it.",
    fix="Save numbers, texts, lists, dicts and tensors: str(path) instead of a Path, and "
    "save_hyperparameters(ignore=[...]) for objects.",
    requires=running_module,
)
def test_a_checkpoint_is_read_with_weights_only(project: ProjectObservations) -> None:
    """Reads each entry of a checkpoint, except the DataModule's, by torch.load."""
    not_plain = project.observe_by(observe_trained)[0].not_plain
    expect(not not_plain, f"weights_only=True refuses: {'; '.join(not_plain)}")
