"""What the fork server imports for its processes."""

import atexit
import os

import datamodule_conformance.scenario  # noqa: F401

# The server ends at once: to free all modules would take seconds. Its processes never get here.
atexit.register(os._exit, 0)
