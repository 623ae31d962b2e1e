"""Copies of one fresh interpreter that has imported TensorFlow, which takes seconds."""

import json

from helpers.support import python

_COPIES = """
import json, os, sys, traceback
import tensorflow

def printed_by(code):
    reading, writing = os.pipe()
    if not os.fork():
        os.dup2(writing, 1)
        try:
            exec(code, {"__name__": "__main__"})
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        text = pipe.read()
    os.wait()
    return text

print(json.dumps([printed_by(code) for code in json.loads(sys.argv[1])]))
"""


def after_tensorflow(codes: list[str], **env: str) -> tuple[list[str], str]:
    """Run each code in a copy of its own of a fresh interpreter that has imported TensorFlow.

    Returns:
        The output of each, and the errors of all of them, with tracebacks.
    """
    done = python(_COPIES, json.dumps(codes), **env)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), done.stderr
