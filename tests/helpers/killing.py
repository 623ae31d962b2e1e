"""Kill a forked process at each step that makes, renames or removes files; fill the disk."""

import contextlib
import os
import resource
import signal
import sys
import traceback

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}  # Python's audit events


@contextlib.contextmanager
def full_disk(size):
    """Let no file grow beyond this many bytes. This includes the report of the test itself."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def killed_at(step, work) -> bool:
    """Run `work()` in a fork that is killed before this step; return whether it was killed.

    The fork may not use TensorFlow, whose threads it does not have.
    """
    child = os.fork()
    if child == 0:
        left = [step]

        def count(event, arguments):
            if event in CHANGES:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "it failed of itself"
    return False


def every_step(work, before, after, stride=1) -> int:
    """Kill `work` at its first step, its second, … until it is done; return how many there are.

    Args:
        work: what is killed.
        before: called before each time, to set the scene.
        after: called after each kill, and once with what was not killed.
        stride: 2 kills at each second step only, and takes half the time.
    """
    step = 0
    while True:
        before()
        killed = killed_at(step, work)
        after()
        if not killed:
            return step
        step += stride
