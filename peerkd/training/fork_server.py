"""Settings of the fork server, the process from which the processes of a pool are forked.

The fork server imports this module before any other. It only imports modules and forks. It disables the garbage
collector, because imports create no garbage, but the collector would scan all objects of torch again and again. It
exits without finalising torch, because that would delay the end of its output by a second.
"""

import atexit
import gc
import os

gc.disable()
atexit.register(os._exit, 0)
