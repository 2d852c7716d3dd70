"""Peak rates that vendors publish, for devices of exactly these names.

A piece of a name does not identify a device: an L40S is not an L4, and a laptop's RTX 4090 has
fewer cores than a desktop's. Rates are for dense matrices, so half of what data sheets call "with
sparsity", and 16-bit products are summed in float32, as torch does.
"""

from typing import NamedTuple

NVIDIA = "https://www.nvidia.com/content/dam/en-zz/Solutions"
AMPERE = f"{NVIDIA}/geforce/ampere/pdf/NVIDIA-ampere-GA102-GPU-Architecture-Whitepaper-V1.pdf"
ADA = (
    "https://images.nvidia.com/aem-dam/Solutions/geforce/ada/"
    "nvidia-ada-gpu-architecture-whitepaper-v2.1.pdf"
)
HOPPER = "https://resources.nvidia.com/en-us-tensor-core/gtc22-whitepaper-hopper"
BLACKWELL = "https://resources.nvidia.com/en-us-blackwell-architecture/datasheet"
RTX_BLACKWELL = (
    "https://images.nvidia.com/aem-dam/Solutions/geforce/blackwell/"
    "nvidia-rtx-blackwell-gpu-architecture.pdf"
)
H200 = "https://nvdam.widen.net/s/nb5zzzsjdf/hpc-datasheet-sc23-h200-datasheet-3002446"
A100 = f"{NVIDIA}/Data-Center/a100/pdf/nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf"
V100 = (
    "https://images.nvidia.com/content/technologies/volta/pdf/"
    "volta-v100-datasheet-update-us-1165301-r5.pdf"
)
TPU = "https://cloud.google.com/tpu/docs/system-architecture-tpu-vm"


class VendorPeak(NamedTuple):
    """A device's published peaks in TFLOP/s; None if it lacks the format, or none is published."""

    source: str
    """Address of the publication."""
    float32: float | None = None
    """Without tensor cores."""
    tf32: float | None = None
    bfloat16: float | None = None
    float16: float | None = None


def _tensor(source: str, float32: float, tf32: float, half: float) -> VendorPeak:
    """Return the peaks of a device that computes bfloat16 as fast as float16."""
    return VendorPeak(source, float32, tf32, half, half)


PEAKS = {
    "NVIDIA GB200": _tensor(BLACKWELL, 80, 1250, 2500),
    "NVIDIA B200": _tensor(BLACKWELL, 75, 1100, 2250),
    "NVIDIA GH200 480GB": _tensor(
        "https://resources.nvidia.com/en-us-grace-cpu/grace-hopper-superchip", 67, 494.5, 989.5
    ),
    "NVIDIA H200": _tensor(H200, 67, 494.5, 989.5),
    "NVIDIA H200 NVL": _tensor(H200, 60, 417.5, 835.5),
    "NVIDIA H100 80GB HBM3": _tensor(HOPPER, 66.9, 494.7, 989.4),
    "NVIDIA H100 PCIe": _tensor(HOPPER, 51.2, 378, 756),
    "NVIDIA H100 NVL": _tensor(
        "https://resources.nvidia.com/en-us-tensor-core/nvidia-tensor-core-gpu-datasheet",
        60, 417.5, 835.5,
    ),
    "NVIDIA L4": _tensor("https://www.nvidia.com/en-us/data-center/l4/", 30.3, 60, 121),
    "NVIDIA L40": _tensor("https://www.nvidia.com/en-us/data-center/l40/", 90.5, 90.5, 181.05),
    "NVIDIA L40S": _tensor("https://www.nvidia.com/en-us/data-center/l40s/", 91.6, 183, 362.05),
    "NVIDIA A100-SXM4-40GB": _tensor(A100, 19.5, 156, 312),
    "NVIDIA A100-SXM4-80GB": _tensor(A100, 19.5, 156, 312),
    "NVIDIA A100-PCIE-40GB": _tensor(A100, 19.5, 156, 312),
    "NVIDIA A100 80GB PCIe": _tensor(A100, 19.5, 156, 312),
    "NVIDIA A40": _tensor(AMPERE, 37.4, 74.8, 149.7),
    "NVIDIA A30": _tensor(
        f"{NVIDIA}/data-center/products/a30-gpu/pdf/a30-datasheet.pdf", 10.3, 82, 165
    ),
    "NVIDIA A10": _tensor(f"{NVIDIA}/Data-Center/a10/pdf/a10-datasheet.pdf", 31.2, 62.5, 125),
    "NVIDIA A10G": _tensor(
        "https://d1.awsstatic.com/product-marketing/ec2/NVIDIA_AWS_A10G_DataSheet_FINAL_02_17_2022.pdf",
        35, 35, 70,
    ),
    "Tesla T4": VendorPeak(
        f"{NVIDIA}/Data-Center/tesla-t4/t4-tensor-core-datasheet-951643.pdf", 8.1, float16=65
    ),
    "Tesla V100-SXM2-16GB": VendorPeak(V100, 15.7, float16=125),
    "Tesla V100-SXM2-32GB": VendorPeak(V100, 15.7, float16=125),
    "Tesla V100-PCIE-16GB": VendorPeak(V100, 14, float16=112),
    "Tesla V100-PCIE-32GB": VendorPeak(V100, 14, float16=112),
    "Tesla V100S-PCIE-32GB": VendorPeak(V100, 16.4, float16=130),
    "NVIDIA RTX A6000": _tensor(AMPERE, 38.7, 77.4, 154.8),
    "NVIDIA GeForce RTX 5090": _tensor(RTX_BLACKWELL, 104.8, 104.8, 209.5),
    "NVIDIA GeForce RTX 4090": _tensor(ADA, 82.6, 82.6, 165.2),
    "NVIDIA GeForce RTX 4080": _tensor(ADA, 48.7, 48.7, 97.5),
    "NVIDIA GeForce RTX 3090 Ti": _tensor(ADA, 40, 40, 80),
    "NVIDIA GeForce RTX 3090": _tensor(AMPERE, 35.6, 35.6, 71),
    # By torch_xla's name of the type. A device is a chip; of a v2 or v3 it would be half a chip.
    "TPU v4": VendorPeak(TPU, bfloat16=275),
    "TPU v5litepod": VendorPeak(TPU, bfloat16=197),
    "TPU v5p": VendorPeak(TPU, bfloat16=459),
    "TPU v6e": VendorPeak(TPU, bfloat16=918),
}  # fmt: skip
"""Published peaks by the name that torch or torch_xla gives the device."""
