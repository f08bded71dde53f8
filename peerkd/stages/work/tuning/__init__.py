"""What a tuned study is made of: its space, its rounds, and who decides what comes next. No torch."""
