"""The machine: its accelerators, their fingerprint, the measuring lock, the load of other work.

In: an accelerator's name. Out: the device, and reports/environment/.
"""
