"""The work of one worker of each launched stage. ``peerkd/stages/<noun>.py`` requests this work."""
