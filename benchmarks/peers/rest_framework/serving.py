"""gunicorn's settings for Django: its threaded worker, and persistent connections."""

import os
from pathlib import Path

bind = f"127.0.0.1:{os.environ['PORT']}"
workers = int(os.environ["WEB_CONCURRENCY"])
worker_class = "gthread"
threads = int(os.environ["PEER_THREADS"])
keepalive = 75  # seconds
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
