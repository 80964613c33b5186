"""Sessions of onnxruntime that share the machine with other processes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def open_session(model: bytes | str, threads: int) -> InferenceSession:
    """Opens a model, its bytes or its path, on this many threads. Raises what onnxruntime raises."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read on import; otherwise it records events about this machine
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    # Spinning threads took a third more CPU time from all other processes on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Batches differ in shape: an arena would retain the largest of each for ever.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
