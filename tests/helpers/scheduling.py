"""Which tests pytest-xdist runs in one process, and in which order."""

import functools
import re

from xdist.scheduler import LoadScopeScheduling

from helpers.support import REPO

_LASTING = re.compile(r'scope="(module|session)"')
_GROUP = re.compile(r"@([^@\]]+)\]$")


class LoadSharedScheduling(LoadScopeScheduling):
    """Hands out single tests, and together those that share a slow fixture.

    These are the tests of a module with a fixture that outlives a test, and cases whose ids end in
    the same `@group`. Pieces go first, the one with most tests before the others; single tests
    fill what is left of either process. (With pytest 9.2 `--dist loadgroup` of pytest-xdist 3.8
    groups nothing, without a warning.)
    """

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if _shares_fixtures(module):
            return module
        group = _GROUP.search(nodeid)
        return f"{module}@{group[1]}" if group else nodeid


@functools.cache
def _shares_fixtures(module: str) -> bool:
    return bool(_LASTING.search((REPO / module).read_text()))
