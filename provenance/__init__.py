"""How the bundled images and weights were made. No stage of the pipeline imports this."""
