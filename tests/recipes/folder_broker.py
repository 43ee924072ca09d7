"""
Settings of Celery: a broker without a server, whose messages are files in a folder.
"""

from __future__ import annotations

import os

_FOLDER = os.environ["QUEUE_FOLDER"]

broker_url = "filesystem://"
broker_transport_options = {
    "data_folder_in": _FOLDER,
    "data_folder_out": _FOLDER,
    "control_folder": f"{_FOLDER}/control",
}
# A tick that is lost is nobody's loss, and the folder keeps no account of what was taken.
task_acks_late = False
