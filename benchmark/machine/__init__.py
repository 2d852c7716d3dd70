"""The machine: accelerators, fingerprint, sensors, measuring lock, and the load of other work.

In: an accelerator's name. Out: the device, and reports/environment/.
"""
