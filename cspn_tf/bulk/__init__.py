"""Annotation of catalogues of any size with Ray Data, as `cspn-tf annotate` runs it.

catalogue   where the photos of a catalogue are: folders, lists, Parquet and TFRecords, on any store that fsspec opens
blocks      the division of a catalogue into blocks, and which of them are finished; kept in the output folder
table       the Parquet schema of the output
worker      one block: read photos, predict, write a Parquet file
stores      read and write files on any store
cluster     Ray: connect, run the unfinished blocks, report progress
"""
