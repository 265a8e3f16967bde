"""What ``capgo-client selftest --crash`` and the crash suites share: operations that are cut off, and what holds after.

``operations`` says what a device can be doing, ``lives`` does it in a process of its own, ``runner`` has such processes
made, killed and told from, and ``judging`` says what is wrong with what is left.
"""
