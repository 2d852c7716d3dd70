"""The images: from files to batches on the device, and digests of what was shown.

In: <root>/{train,val,test}/<class>/<image>. Out: a LightningDataModule, and reports/dataset.json.
"""
