"""The kit's name until version 0.1: it says the new name."""

raise ImportError("datamodule_conformance is now lightning_conformance: import that instead.")
