"""Reproduction of the paper's tables by one command.

experiments         the experiments and the scales they run at
plan                experiments, seeds and epochs of one reproduction
steps               the steps, from the plan to the report
jobs                run commands in parallel
costs               parameters, operations and latencies
results             tables and answers to the paper's claims, as dicts
report              the Markdown report and its figures
"""
