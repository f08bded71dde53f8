"""What one experiment is, as frozen values. No torch, no files of data, no defaults that depend on the machine."""
