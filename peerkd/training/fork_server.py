"""Imported first by the process that workers are forked from, which does nothing but import and fork.

Its imports make no garbage, yet the collector would go through all that torch leaves again and again; and to take torch
apart at its end would keep whoever waits for the workers' output waiting for a second.
"""

import atexit
import gc
import os

gc.disable()
atexit.register(os._exit, 0)
