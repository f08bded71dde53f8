"""The work of one worker of each launched stage. The module of the stage itself orders the work."""
