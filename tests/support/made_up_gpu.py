"""In the place of side_process.py: a step of n images takes LAUNCHES + n / 1000 s.

Batches above MEMORY do not fit into memory, and batches above REFUSED are refused. These are
environment variables. Each task is appended to the file tasks.jsonl.
"""

import json
import os
import sys
from math import inf
from pathlib import Path

if __name__ == "__main__":
    step, images = 0.0, 0
    for line in sys.stdin:
        request = json.loads(line)
        if request == "peak memory":
            answer = {"host_bytes": 1000, "device_bytes": images}
        elif isinstance(request, dict):
            with Path("tasks.jsonl").open("a") as file:
                file.write(line)
            images = request["parameters"]["data"]["batch_size"]
            step = float(os.environ["LAUNCHES"]) + images / 1000
            answer = {"step_seconds": step}
            if images > float(os.environ.get("MEMORY", inf)):
                answer = {"failed": "OutOfMemoryError: CUDA out of memory."}
            elif images > float(os.environ.get("REFUSED", inf)):
                answer = {"refused": "The batch is odd. Take another."}
        else:
            answer = {"seconds": request * step, "compilations": 0}
        print(json.dumps(answer), flush=True)
        if "failed" in answer or "refused" in answer:
            break
