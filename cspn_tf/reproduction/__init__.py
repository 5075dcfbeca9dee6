"""The paper's tables from one command: what is trained, how it is run, what it costs, what is written about it."""
