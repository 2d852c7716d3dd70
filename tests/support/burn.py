"""Work for child processes. Nothing heavy is imported, so that they start at once."""

import time


def burn(seconds: float) -> None:
    """Compute until this process has used `seconds` of processor time since its start."""
    while time.process_time() < seconds:
        pass
