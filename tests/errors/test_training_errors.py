import pytest
import torch

from benchmark.errors.training_errors import explain_training_errors, is_out_of_memory
from benchmark.errors.user_error import UserError


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("OutOfMemoryError: CUDA out of memory. Tried", True),
        ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you", True),
        ("RuntimeError: MPS backend out of memory (MPS allocated", True),
        ("RuntimeError: RESOURCE_EXHAUSTED: Attempting to reserve 9G", True),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate", True),
        ("RuntimeError: cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("MemoryError: ", True),
        ("RuntimeError: mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(words: str, expected: bool) -> None:
    assert is_out_of_memory(words) == expected


def test_memory_that_cannot_be_had_is_recognised() -> None:
    """torch's allocator raises the error, so the text is real."""
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(f"RuntimeError: {refused.value}")


def test_a_network_without_deterministic_kernels_is_named() -> None:
    """On CUDA, the pooling of AlexNet and VGG has none. The text is torch's."""
    message = (
        "adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but you "
        "set 'torch.use_deterministic_algorithms(True)'. You can turn off determinism"
    )
    with (
        pytest.raises(
            UserError,
            match=r"^gpu: adaptive_avg_pool2d_backward_cuda does not have a "
            r"deterministic implementation\. Choose another model\.architecture",
        ),
        explain_training_errors("gpu", 4, lambda: "in the test"),
    ):
        raise RuntimeError(message)
