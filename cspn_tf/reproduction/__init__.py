"""Reproduction of the paper's tables by one command: experiments, jobs, cost measurements and report."""
