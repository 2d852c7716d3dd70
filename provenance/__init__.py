"""How the bundled images and weights were made.

They were made once, and their bytes are pinned; no stage of the pipeline imports this.
"""
