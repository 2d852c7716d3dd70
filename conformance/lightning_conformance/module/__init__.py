"""The contract of a LightningModule, and of its fit with a LightningDataModule."""
