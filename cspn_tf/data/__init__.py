"""Annotation readers, the prepared dataset (TFRecords), its checks, and the input pipelines.

sources             select a reader by the name of `--source`
deepfashion, deepfashion2, fashionai, coco     a reader each; coco_file: one file of COCO keypoints
coco_results        read predictions in COCO's results format
samples             what readers return: `ReadResult`, `Sample`, `Rejected`
fields, tables      parse values and text tables; a faulty row is a `RowFault`
landmark_maps       landmarks of DeepFashion2 and FashionAI to the eight keypoints
spelling            find missing files under another spelling of their name
splits              random splits, and the order of the train split
photo_checks        check a photo and that its labels lie inside it
labelled_sizes      find labels made for another size of the photo
doctor              find suspicious labels and duplicate photos
report              the data report and the contact sheets
tfrecords, shards   format of the prepared dataset; write it, resumable
pipeline            input pipelines of both networks
augmentation/       augmentation of training examples
synthetic/          the synthetic dataset
"""
