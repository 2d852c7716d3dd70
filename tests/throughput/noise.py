"""Is the noise floor's interval right? `python -m tests.throughput.noise [REPETITIONS]`, else 20.

Each repetition measures the trainer against itself as the throughput stage does, with as many
processes as params.yaml says, at 32 px to save time. Of 20 intervals of 95 % that contain 1, 17 or
more are to be expected (with a probability of 98 %).
"""

import sys

from benchmark.common.parameters import Parameters, load_parameters
from benchmark.common.statistics import Interval
from benchmark.machine.accelerators import find
from benchmark.machine.lock import measuring_lock
from benchmark.throughput import measurements, run_process
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import Measurement, ProcessIndex

SMALLER = {"data": {"image_size": 32}, "throughput": {"modes": ["trainer"], "sweep": {}}}


def main(arguments: list[str]) -> int:
    """Repeat the measurement; an exit status."""
    repetitions = int(arguments[0]) if arguments else 20
    content = load_parameters().model_dump()
    for section, changes in SMALLER.items():
        content[section] |= changes
    parameters = Parameters.model_validate(content)
    count_right = 0
    with measuring_lock():
        for number in range(repetitions):
            floor = noise_floor(parameters, number)
            count_right += 1 in floor
            print(
                f"{number + 1}: {floor.estimate:.4f} ({floor.low:.4f} to {floor.high:.4f}) "
                f"{'contains 1' if 1 in floor else 'DOES NOT CONTAIN 1'}",
                flush=True,
            )
    print(f"{count_right} of {repetitions} intervals contain 1")
    return int(count_right < 0.85 * repetitions)


def noise_floor(parameters: Parameters, repetition: int) -> Interval:
    """One measurement, of several processes, with orders of blocks of its own."""
    count = parameters.throughput.repeats
    indices = [ProcessIndex(repetition, number) for number in range(count)]
    results = [run_process.measure(find("cpu"), parameters, index) for index in indices]
    measured = [result for result in results if isinstance(result, Measurement)]
    assert len(measured) == count, results
    return measurements.noise_floor(
        [ProcessRates(result, parameters.data.batch_size) for result in measured]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
