"""Settings of the fork server, the process from which the processes of a pool are forked, which imports this first.

The fork server only imports modules and forks. The garbage collector is disabled there: imports create no garbage, but
it would scan everything that torch creates again and again. The process exits without finalising torch, because that
would delay the end of its output by a second.
"""

import atexit
import gc
import os

gc.disable()
atexit.register(os._exit, 0)
