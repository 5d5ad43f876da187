"""Counting what holds."""

import re


class Checks:
    """Counts what held and keeps what did not."""

    def __init__(self):
        self.passed = 0
        self.failures = []

    def equal(self, what, found, expected, explain=None):
        """Whether they are equal; `explain` is asked for more words on a failure."""
        if found == expected:
            self.passed += 1
            return True
        more = f"; {explain()}" if explain else ""
        self.failures.append(f"{what}: {found!r}, expected {expected!r}{more}")
        return False

    def attempt(self, what, function, *arguments):
        """What the function returns; None, and a failure, if it cannot do its work."""
        try:
            return function(*arguments)
        except Exception as error:  # each library has its own kinds
            self.failures.append(f"{what}: {describe(error)}")
            return None

    def refused(self, what, function, pattern):
        """Whether the function fails, as it must, with an error that has this pattern."""
        try:
            function()
        except Exception as error:  # each library has its own kinds
            found = re.search(pattern, str(error)) is not None
            return self.equal(f"{what}: {describe(error)} has {pattern!r}", found, True)
        self.failures.append(f"{what}: no error, expected one")
        return False

    def finish(self):
        for failure in self.failures:
            print(f"FAILED {failure}")
        print(f"{self.passed} passed, {len(self.failures)} failed")
        return 1 if self.failures else 0


def describe(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
