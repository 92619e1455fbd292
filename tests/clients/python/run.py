"""Runs the cases of one topic: `run.py TOPIC`.

A topic is a module, a case a function of it that begins with `case_`. Each is told in one line;
the exit code says whether all of them hold.
"""

import faulthandler
import importlib
import os
import sys
import time
import traceback

# A little less than the caller waits: where it hung is worth more than that it hung.
HANGS_AFTER_SECS = 55


def main() -> int:
    # One stream, in order, with whatever the libraries have to say.
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    faulthandler.dump_traceback_later(HANGS_AFTER_SECS, exit=True)

    module = importlib.import_module(sys.argv[1])
    cases = [name for name in vars(module) if name.startswith("case_")]
    outcomes = [holds(name, getattr(module, name)) for name in cases]
    return 0 if outcomes and all(outcomes) else 1


def holds(name: str, case) -> bool:
    start = time.monotonic()
    try:
        case()
    except Exception:
        traceback.print_exc()
        outcome = False
    else:
        outcome = True
    took_ms = round((time.monotonic() - start) * 1000)
    print(f"{'ok' if outcome else 'FAILED'}: {name} ({took_ms} ms)", flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
