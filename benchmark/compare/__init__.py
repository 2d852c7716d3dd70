"""Two commits, machines or folders compared: by recorded results, or by timing both now.

Out: a verdict for a person or a CI job, and an exit status.
"""
