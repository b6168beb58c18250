#!/usr/bin/env python3
"""in_folder.py FOLDER COMMAND...: runs the command in a folder of its own, which is emptied before and removed after."""
import pathlib
import shutil
import subprocess
import sys

folder = pathlib.Path(sys.argv[1])
command = [str(pathlib.Path(sys.argv[2]).absolute()), *sys.argv[3:]]
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir(parents=True)
try:
    sys.exit(subprocess.run(command, cwd=folder, check=False).returncode & 0xff)
finally:
    shutil.rmtree(folder, ignore_errors=True)
