"""Is a TPU here, which one, and can it be used?"""

from importlib.util import find_spec
from pathlib import Path

GOOGLE_PCI_VENDOR = "0x1ae0"
NAMES = {"v5litepod": "v5e"}
"""What the machine calls some kinds, and what everybody else does."""


def find() -> tuple[str, str]:
    """What a person would call it, and why it cannot be used; one of the two is empty."""
    if find_spec("torch_xla") is None:
        return "", "torch_xla is not installed"
    if not _google_device():
        return "", "no TPU found"
    from torch_xla._internal import tpu

    if not tpu.num_available_chips():
        return "", "no TPU found"
    if find_spec("libtpu") is None:
        return "", "libtpu is not installed"
    try:
        kind, devices = tpu.get_tpu_type(), tpu.num_available_devices()
        hosts = tpu.num_tpu_workers()
    except (OSError, TypeError, KeyError) as error:  # no server in the network that would say so
        return "", f"what it is cannot be found out ({error})"
    if hosts > 1:
        return "", f"it is one of a slice's {hosts} hosts, of which only one would be used"
    return f"TPU {NAMES.get(kind, kind)}, 1 of {devices} devices", ""


def _google_device() -> bool:
    """Google's TPUs and network cards alike; without one, torch_xla need not be loaded."""
    vendors = Path("/sys/bus/pci/devices").glob("*/vendor")
    return any(vendor.read_text().strip() == GOOGLE_PCI_VENDOR for vendor in vendors)
