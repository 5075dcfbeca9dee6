"""The commands of `cspn-tf`, one module each with a `main(argv)`; `COMMANDS` of `main` lists them.

main                the command `cspn-tf` itself: dispatch to a subcommand
photo_paths         shared: the photos that arguments name
answers             shared: write and draw results
training_arguments  shared: arguments of the training commands, and of commands that take two trained networks
"""
