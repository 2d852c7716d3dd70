"""The images: from files to batches on the device, with digests of order and pixels.

In: <root>/{train,val,test}/<class>/<image>. Out: a LightningDataModule, and reports/dataset.json.
"""
