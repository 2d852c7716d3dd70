"""In the place of side_process.py: a step of n images takes n / 10 s, and less from block to block.

Several devices and peers take a quarter more. More than 11 images do not fit into memory.
"""

import json
import sys

if __name__ == "__main__":
    task = json.loads(sys.stdin.readline())
    parameters, peer = task["parameters"], sys.argv[1:2] == ["--peer"]
    images, speed = parameters["data"]["batch_size"], 10.0
    if images * task["devices"] > 11:
        answer = {"failed": "RuntimeError: can't allocate memory"}
    elif parameters["model"]["compile"]:
        answer = {"refused": "No compiler. Install one."}
    elif peer and parameters["train"]["precision"] == "bf16-mixed":
        answer = {"refused": "No mixed precision. Choose another."}
    else:
        answer = {"step_seconds": images / 10}
    print(json.dumps(answer), flush=True)
    if "step_seconds" not in answer:
        sys.exit()
    for line in sys.stdin:
        if json.loads(line) == "peak memory":
            print(json.dumps({"host_bytes": 1000}), flush=True)
            continue
        speed += 0.01
        seconds = int(line) * images / speed * (1.25 if peer or task["devices"] > 1 else 1)
        compilations = int(parameters["data"]["num_workers"] == 3)
        print(json.dumps({"seconds": seconds, "compilations": compilations}), flush=True)
