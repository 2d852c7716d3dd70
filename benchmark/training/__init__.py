"""The model, its weights, and one training of it with Lightning: fit, records and checkpoints.

In: parameters and the DataModule. Out: a `Fit`, whose results the stages in `pipeline` write.
"""
