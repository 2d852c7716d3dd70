"""DataModules that report their process, or fail in it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from pytorch_lightning.utilities import rank_zero_only

from tests.conformance.datamodules.pictures import PicturesModule

IMPORTING_PROCESS = os.getpid()


class Reporting(PicturesModule):
    """Writes FOLDER/report-<rank>.json in setup."""

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        assert self.trainer is not None
        report = {
            "hash": hash("a text"),
            "hash_seed": os.environ["PYTHONHASHSEED"],
            "imported_here": os.getpid() == IMPORTING_PROCESS,
            "directory": os.getcwd(),
            "path": sys.path,
            "variable": os.environ.get("VARIABLE"),
            "ranks": [os.environ.get("LOCAL_RANK"), os.environ.get("WORLD_SIZE")],
        }
        path = self.file.parent / f"report-{self.trainer.global_rank}.json"
        path.write_text(json.dumps(report))


class RankBeforeTheTrainer(PicturesModule):
    """Writes FOLDER/made-<rank> when it is made."""

    def __init__(self, folder: str, seed: int = 0) -> None:
        super().__init__(folder, seed)
        (Path(folder) / f"made-{rank_zero_only.rank}").touch()


class Raises(PicturesModule):
    """Raises on rank 1, while rank 0 waits for it."""

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        if self.trainer is not None and self.trainer.global_rank == 1:
            print("this is printed", "and so is this", sep="\n")
            raise ValueError("this rank has no data")


class Exits(PicturesModule):
    """Exits on rank 1 with a status that means success."""

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        if self.trainer is not None and self.trainer.global_rank == 1:
            sys.exit(0)


class Leaves(PicturesModule):
    """Closes the connections of rank 1, for which rank 0 waits, and then raises."""

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        if self.trainer is not None and self.trainer.global_rank == 1:
            torch.distributed.destroy_process_group()
            raise ValueError("this rank has no data")


class Dies(PicturesModule):
    """Kills rank 1 silently, and rank 0 does not notice."""

    def setup(self, stage: str | None = None) -> None:
        if self.trainer is not None and self.trainer.global_rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(3600)


class Hangs(PicturesModule):
    """Hangs on rank 1 with a child process; both numbers are in FOLDER/process."""

    def setup(self, stage: str | None = None) -> None:
        if self.trainer is not None and self.trainer.global_rank == 1:
            child = subprocess.Popen(["sleep", "3600"])
            (self.file.parent / "process").write_text(f"{os.getpid()} {child.pid}")
            time.sleep(3600)
        super().setup(stage)
