"""The rounds of peers, done by one worker for each method or shared by several workers."""
