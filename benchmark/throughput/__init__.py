"""How fast an accelerator trains: independent processes, modes that take turns, intervals.

In: parameters, the DataModule, the model. Out: reports/throughput/.
"""
