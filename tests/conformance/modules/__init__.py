"""LightningModules that conform, or break rules of the kit."""
