"""Set-up of the fork server, the process from which the processes of a pool are forked. It is imported there first.

The fork server only imports and forks. Its imports create no garbage, but the collector would scan everything that
torch creates again and again, so it is disabled. The process exits without finalising torch, because that would delay
whoever reads the output of the forked processes by a second.
"""

import atexit
import gc
import os

gc.disable()
atexit.register(os._exit, 0)
