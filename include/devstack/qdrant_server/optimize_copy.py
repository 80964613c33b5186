"""The program that optimises a copy of a shard.

Called as `python -m devstack.qdrant_server.optimize_copy FOLDER SERVER_PID`, with the configuration on stdin.

The engine holds the interpreter lock for seconds to minutes while it builds its index. A separate process does not
block the server. Exit code 0: the copy is optimised; 3: there was nothing to do; others: it failed.
"""

import ctypes
import json
import os
import signal
import sys

import qdrant_edge as edge

from devstack.qdrant_server import schema

NOTHING_TO_DO = 3
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Optimise the shard in the folder named by the first argument."""
    if sys.platform == "linux":
        # A killed server must not leave this running: nobody would take over the copy. (It may be dead already.)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[2]):
        return 1
    os.nice(5)
    shard = edge.EdgeShard.load(sys.argv[1], schema.engine_config(json.load(sys.stdin)))
    changed = shard.optimize()
    shard.flush()
    shard.close()
    return 0 if changed else NOTHING_TO_DO


if __name__ == "__main__":
    sys.exit(main())
