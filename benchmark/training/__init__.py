"""The model and its training, a control from random weights, and the replay of first steps.

In: parameters, the DataModule, weights. Out: reports/train/, timing/, replay/ and models/.
"""
