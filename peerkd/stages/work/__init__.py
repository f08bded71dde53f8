"""The work of one worker of each launched stage. ``peerkd/stages/<name>.py`` requests this work."""
